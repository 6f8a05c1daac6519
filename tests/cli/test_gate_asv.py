"""Which suite `flopline gate` compares, pytest's or one of asv; nothing is built or measured."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from flopline import cli
from flopline.gate import run as procedure
from flopline.gate.sides import environment
from tests.gate.support.make_records import RECORD
from tests.gate.support.make_sides import make_side
from tests.support.checkouts import write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flopline.gate.record import GateRecord, Settings
    from flopline.gate.sides.environment import Side

REVISION = ("--baseline", "main")
SUITE = {"bench/__init__.py": "", "asv.conf.json": '{"benchmark_dir": "bench"}'}


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Settings, list[Side]]]:
    """With which settings, and which sides, a run was asked for in a folder with an asv suite."""
    requests: list[tuple[Settings, list[Side]]] = []

    @contextmanager
    def sides(*_: object, **__: object) -> Iterator[tuple[Side, Side]]:
        yield make_side("baseline", tmp_path), make_side("candidate", tmp_path)

    def run(baseline: Side, candidate: Side, settings: Settings, **_: object) -> GateRecord:
        requests.append((settings, [baseline, candidate]))
        return RECORD

    monkeypatch.chdir(write(tmp_path, SUITE))
    monkeypatch.setattr(environment, "sides", sides)
    monkeypatch.setattr(procedure, "run", run)
    return requests


@pytest.mark.parametrize(
    ("arguments", "suite", "patterns"),
    [
        ((*REVISION, "--asv"), "bench", ()),
        (("--asv", *REVISION), "bench", ()),
        (("--asv", "bench", *REVISION), "bench", ()),
        (("--asv=bench", *REVISION), "bench", ()),
        ((*REVISION, "--asv", "--", "time_x", "A\\."), "bench", ("time_x", "A\\.")),
        (REVISION, "bench", ()),
        ((*REVISION, "--", "tests"), "", ("tests",)),
        ((*REVISION, "tests"), "", ("tests",)),
        ((*REVISION, "--", "--asv"), "", ("--asv",)),
    ],
)
def test_an_asv_suite_is_asked_for_or_found_without_arguments(
    asked: list[tuple[Settings, list[Side]]],
    arguments: tuple[str, ...],
    suite: str,
    patterns: tuple[str, ...],
) -> None:
    result = CliRunner().invoke(cli.app, ["gate", *arguments])
    ((settings, sides),) = asked
    assert (settings.asv, settings.arguments) == (suite, patterns), result.output
    assert {side.runner for side in sides} == {"asv_runner" if suite else "pytest"}


def test_a_suite_that_was_found_is_named(asked: list[tuple[Settings, list[Side]]]) -> None:
    result = CliRunner().invoke(cli.app, ["gate", *REVISION])
    told = " ".join(result.stderr.split())
    assert "comparing the asv suite bench, which asv.conf.json names; to compare a pytest" in told
    assert "comparing" not in CliRunner().invoke(cli.app, ["gate", *REVISION, "--asv"]).stderr
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--asv", "nowhere"), "--asv nowhere names no folder"),
        (("--asv", "."), "asv.conf.json cannot be read"),
        (("--asv", "--", "-k", "x"), "-k is an option, but the suite is asv's"),
        (("--asv", "--", "("), "'(' is no regular expression"),
    ],
)
def test_what_is_no_asv_suite_is_refused_in_one_sentence(
    asked: list[tuple[Settings, list[Side]]],
    tmp_path: Path,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    if "." in arguments:
        (tmp_path / "asv.conf.json").write_text("{")
    result = CliRunner().invoke(cli.app, ["gate", *REVISION, *arguments])
    assert result.exit_code
    assert said in str(result.exception)
    assert not asked
