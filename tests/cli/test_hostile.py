"""No input shows a traceback: options, files and records with values that nobody would give."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from flopline import FloplineError, records
from flopline.cli import app
from flopline.gate import storage
from tests.gate.support.make_records import RECORD
from tests.support import chapter

if TYPE_CHECKING:
    from pathlib import Path

Json = dict[str, Any] | list[Any] | str | float | None
Place = tuple[str | int, ...]
"""The keys and indexes that lead to a value inside a JSON value."""
ESCAPE = "\x1b]0;taken\x07"
VALUES: tuple[object, ...] = (
    None, True, 0, -1, 10**9, 10**18, 10**400, 1e308, -1e308, 5e-324, "", "x" * 5000, ESCAPE,
    "\ud800", "nan", "[/b]", [], {}, [[]], [ESCAPE], {ESCAPE: ESCAPE}, {"a": {"a": {"a": None}}},
)  # fmt: skip
"""What stands in the place of a value of a record."""


def run(*arguments: str) -> tuple[int, str]:
    """Runs a command as `main` does; returns its exit code and everything that it printed."""
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "100"})
    assert "\x1b" not in done.output
    if done.exception is None or isinstance(done.exception, SystemExit):
        return done.exit_code, done.output
    if isinstance(done.exception, FloplineError | OSError):  # what `main` turns into a message
        return 2, done.output + str(done.exception)
    raise done.exception


def refusal(*arguments: str) -> str:
    """Returns what a command says that could not do its work."""
    code, said = run(*arguments)
    assert (code, bool(said)) == (2, True)
    return said


def places(value: Json, before: Place = ()) -> list[Place]:
    """Returns the path to every value inside a JSON value, at most three of each list."""
    paths: list[Place] = [before] if before else []
    if isinstance(value, dict):
        for key, inner in value.items():
            paths += places(inner, (*before, key))
    if isinstance(value, list):
        for index, inner in enumerate(value[:3]):
            paths += places(inner, (*before, index))
    return paths


def replaced(value: Json, place: Place, new: object) -> Json:
    """Returns a copy of a JSON value with another value at one place."""
    copy: Json = json.loads(json.dumps(value))
    inner: Any = copy
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = new
    return copy


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A file of every kind of record."""
    folder = tmp_path_factory.mktemp("saved")
    files = chapter.save(chapter.chapter_records(), folder)
    files["gate"] = folder / "gate.json"
    storage.save(RECORD, files["gate"])
    return files


@pytest.mark.parametrize("kind", ["bench", "train", "claims", "machine", "gate"])
@settings(max_examples=25)
@given(draws=st.data())
def test_a_record_with_a_value_that_nobody_measured_is_shown_or_refused(
    saved: dict[str, Path], kind: str, draws: st.DataObject
) -> None:
    content = json.loads(saved[kind].read_text())
    place = draws.draw(st.sampled_from(places(content)))
    new = draws.draw(st.sampled_from(VALUES))
    file = saved[kind].with_name("hostile.json")
    file.write_text(json.dumps(replaced(content, place, new)))
    assert run("show", str(file))[0] in (0, 2)


FILES = {
    "empty": b"",
    "binary": b"\xff\xfe\x00\x01" * 100,
    "a number": b"3",
    "nothing": b"null",
    "nested": b"[" * 200_000,
    "nested objects": b'{"a":' * 200_000,
    "not a number": b'{"kind": "gate", "seconds": NaN}',
    "escapes": json.dumps({"kind": ESCAPE, "schema_version": ESCAPE}).encode(),
    "escapes inside": json.dumps({"flopline": {"kind": ESCAPE}}).encode(),
    "another encoding": '{"kind": "gate", "result": "é"}'.encode("utf-16"),
    "many batches": b'{"kind": "gate", "schema_version": 3, "blocks": [{"quads": {"a": {"quads": '
    b'1000000000, "baseline": {"batches": 2}, "candidate": {"batches": 2}}}}]}',
}
"""Files that are no records, by what is wrong with them."""
COMMANDS = (
    ("show", "{}"),
    ("gate", "show", "{}"),
    ("report", "page.html", "--train", "{}"),
    ("report", "page.html", "--bench", "{}"),
    ("data", "{}"),
)
"""The commands that read a file."""


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("content", FILES.values(), ids=list(FILES))
def test_a_file_that_is_no_record_is_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], content: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.json").write_bytes(content)
    said = refusal(*(word.format("file.json") for word in command))
    assert "file.json" in said


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("name", [".", "missing", "x" * 300, "a/b", "/dev/zero"])
def test_what_is_no_file_at_all_is_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(records, "LARGEST", 1 << 20)
    assert refusal(*(word.format(name) for word in command))


NUMBERS = ("nan", "inf", "-inf", "-1", "0", "1e400", "9" * 5000, "", " ", "%", "1_0%", "٣%", ESCAPE)


@pytest.mark.parametrize("option", ["--detect", "--alpha", "--budget", "--self-check"])
@pytest.mark.parametrize("value", NUMBERS)
def test_an_option_that_is_no_number_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, value: str
) -> None:
    monkeypatch.chdir(tmp_path)
    refusal("gate", "--baseline", str(tmp_path / "missing"), option, value)


@pytest.mark.parametrize("option", ["--baseline", "--candidate"])
@pytest.mark.parametrize(
    "value",
    ["", "-", "--", "--output=x", "HEAD", "a..b", "x" * 300, ESCAPE, "/dev/null", "@{"],
)
def test_a_version_that_is_none_is_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, value: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    versions = {"--baseline": "HEAD", option: value}
    words = [f"{name}={version}" for name, version in versions.items()]
    refusal("gate", *words)


@pytest.mark.parametrize("option", ["--json", "--markdown", "--junit", "--html"])
@pytest.mark.parametrize("value", ["", ".", "/", "a/b", "x" * 300, "/dev/null/x", "/proc/x"])
def test_an_output_that_cannot_be_written_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, value: str
) -> None:
    monkeypatch.chdir(tmp_path)
    said = refusal("gate", "--baseline", "HEAD", f"{option}={value}")
    assert "cannot be written because" in said


@pytest.mark.parametrize("only", ["C0", ",", "C9,,", "c9 ", ESCAPE, "x" * 5000])
def test_a_claim_that_there_is_none_of_is_refused(only: str) -> None:
    refusal("claims", "--only", only, "--data", "nosuch")


@pytest.mark.parametrize("data", ["nosuch", ".", "/dev/null", "x" * 300, ESCAPE])
@pytest.mark.parametrize("command", ["train", "claims", "report"])
def test_data_that_cannot_be_read_are_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, data: str
) -> None:
    monkeypatch.chdir(tmp_path)
    said = refusal(command, "--data", data)
    assert "give airfoil_self_noise.dat or 'surrogate'" in said
    assert list(tmp_path.iterdir()) == []
