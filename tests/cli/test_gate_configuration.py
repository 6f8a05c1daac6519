"""What `flopline gate` takes from pyproject.toml; nothing is built or measured here."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import typer.main
from typer.testing import CliRunner, Result

from flopline import cli
from flopline.gate import run as procedure
from flopline.gate import storage
from flopline.gate.configuration import KEYS
from flopline.gate.record import ExitCode, GateRecord, Settings
from flopline.gate.rules import Rule
from flopline.gate.sides import environment
from tests.gate.support.make_records import RECORD

if TYPE_CHECKING:
    from pathlib import Path

GATE = """\
[tool.flopline.gate]
suite = "bench -q"
detect = "5%"
isolated = true
report-only = true
inconclusive = "pass"

[tool.flopline.gate.benchmark."test_a"]
ignore = true
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Puts this process into a folder with a configuration."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    (tmp_path / "pyproject.toml").write_text(GATE, "utf-8")
    return tmp_path


@pytest.fixture
def requested(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Settings, bool]]:
    """The settings of the runs that are started, and whether they are isolated."""
    requested: list[tuple[Settings, bool]] = []
    isolated: list[bool] = []

    def sides(*_: object, isolation: object, **__: object) -> nullcontext[tuple[str, str]]:
        isolated.append(isolation is not None)
        return nullcontext(("b", "c"))

    def run(_: object, __: object, wanted: Settings, **___: object) -> GateRecord:
        requested.append((wanted, isolated[-1]))
        return replace(RECORD, exit_code=ExitCode.NO_REGRESSION)

    monkeypatch.setattr(environment, "sides", sides)
    monkeypatch.setattr(procedure, "run", run)
    return requested


def gate(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["gate", *arguments], env={"COLUMNS": "100"})


def test_what_is_not_given_is_as_the_file_says(requested: list[tuple[Settings, bool]]) -> None:
    assert gate("--baseline", "main").exit_code == 0
    settings = Settings(
        detect=0.05,
        arguments=("bench", "-q"),
        rules=(Rule("test_a", ignore=True),),
        report_only=True,
        inconclusive="pass",
    )
    assert requested == [(settings, True)]


def test_the_command_line_wins(requested: list[tuple[Settings, bool]]) -> None:
    flags = ["--no-isolated", "--no-report-only", "--inconclusive", "fail", "--detect", "3%"]
    assert gate("--baseline", "main", *flags, "--", "other").exit_code == 0
    rules = (Rule("test_a", ignore=True),)
    assert requested == [(Settings(arguments=("other",), rules=rules), False)]


def test_every_key_but_the_suite_is_an_option() -> None:
    group = typer.main.get_group(cli.app)
    command = group.commands["gate"]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {f"--{key}" for key in KEYS} - options == {"--suite"}


def test_a_suite_named_show_or_join_is_no_subcommand(
    here: Path, requested: list[tuple[Settings, bool]]
) -> None:
    (here / "pyproject.toml").write_text('[tool.flopline.gate]\nsuite = "show"\n', "utf-8")
    assert gate("--baseline", "main").exit_code == 0
    assert requested[0][0].arguments == ("show",)


def test_a_mistake_in_the_file_is_one_sentence_and_exit_code_2(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "pyproject.toml").write_text("[tool.flopline.gate]\nbudgets = 3\n", "utf-8")
    monkeypatch.setattr(sys, "argv", ["flopline", "gate", "--baseline", "main"])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # typer sets its own
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    (message,) = capsys.readouterr().err.splitlines()
    file = here / "pyproject.toml"
    assert message.startswith(f"flopline: {file}: tool.flopline.gate has no key 'budgets'; did you")


def test_saved_records_are_shown_whatever_the_file_says(here: Path) -> None:
    (here / "pyproject.toml").write_text("[tool.flopline.gate]\nbudgets = 3\n", "utf-8")
    storage.save(RECORD, here / "r.json")
    assert gate("show", "r.json").exit_code == 0
    assert gate("join", "r.json").exit_code == RECORD.exit_code


def test_an_unknown_inconclusive_is_refused_with_the_choices() -> None:
    result = gate("--baseline", "main", "--inconclusive", "maybe")
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr
    for word in ("--inconclusive", "maybe", "fail", "pass"):
        assert word in result.stderr
