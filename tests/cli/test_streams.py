"""Whatever becomes of stdout and stderr, a command ends with a sentence and its own exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from flopline.cli import streams
from flopline.gate import storage
from flopline.gate.record import ExitCode
from tests.gate.support.make_records import RECORD, changed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHOW = (sys.executable, "-m", "flopline", "gate", "show")
ENDS = """
import sys
from flopline.cli.streams import tolerant
with tolerant():
    print("x" * 100_000)
    sys.exit({code})
"""
"""A program that prints more than a pipe holds, and ends with an exit code."""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved record with names that not every encoding has."""
    path = tmp_path_factory.mktemp("saved") / "r.json"
    version = RECORD.candidate
    storage.save(changed(candidate=type(version)(**vars(version) | {"version": "größer-語"})), path)
    return path


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252", "utf-8"])
def test_a_stdout_in_any_encoding_shows_the_report(saved: Path, encoding: str) -> None:
    done = subprocess.run(
        [*SHOW, str(saved)],
        env=os.environ | {"PYTHONIOENCODING": encoding, "COLUMNS": "200"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    shown = done.stdout.decode(encoding)
    assert "2 confirmed regressions" in shown
    names = {
        "utf-8": "größer-語",
        "latin-1": r"größer-\u8a9e",
        "cp1252": r"größer-\u8a9e",
        "ascii": r"gr\xf6\xdfer-\u8a9e",
    }
    assert names[encoding] in shown


@pytest.mark.parametrize("locale", ["C", "POSIX"])
def test_a_locale_without_letters_shows_the_report(saved: Path, locale: str) -> None:
    plain = {"LC_ALL": locale, "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [*SHOW, str(saved)], env=os.environ | plain, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.isascii()
    assert b"gr\\xf6\\xdfer-\\u8a9e" in done.stdout


@pytest.fixture
def gone() -> Iterator[int]:
    """The writing end of a pipe whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.mark.parametrize("code", list(ExitCode))
def test_a_reader_that_has_gone_changes_no_exit_code(gone: int, code: ExitCode) -> None:
    program = ENDS.format(code=int(code))
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=gone, stderr=subprocess.PIPE, check=False
    )
    assert (done.returncode, done.stderr) == (code, b"")


@pytest.mark.parametrize(("code", "end"), [(0, 2), (1, 1), (2, 2), (3, 3)])
def test_a_full_disk_is_told_and_hides_no_verdict(code: int, end: int) -> None:
    program = ENDS.format(code=code)
    with open("/dev/full", "w") as full:  # noqa: PTH123  # a device
        done = subprocess.run(
            [sys.executable, "-c", program],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == end
    assert done.stderr == "flopline: stdout could not be written: No space left on device\n"


@pytest.mark.parametrize("redirection", [">&-", "2>&-", "2>/dev/full", "2>&- >&- <&-", "| true"])
def test_missing_and_full_streams_show_no_traceback(saved: Path, redirection: str) -> None:
    program = f"set -o pipefail; {sys.executable} -m flopline show {saved} {redirection}"
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_stdout_that_does_not_wait_gets_everything() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    program = ENDS.format(code=0)
    with subprocess.Popen([sys.executable, "-c", program], stdout=writer) as process:
        os.close(writer)
        with os.fdopen(reader) as pipe:
            assert len(pipe.read()) == 100_001
    assert process.returncode == 0


@pytest.mark.parametrize("name", ["COLUMNS", "LINES", "TERMINAL_WIDTH"])
@pytest.mark.parametrize("value", ["", "0", "-1", "abc", "²", "9" * 20])
def test_a_wrong_size_of_the_terminal_is_ignored(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with streams.tolerant():
        assert name not in os.environ


def test_streams_that_somebody_replaced_are_left_alone() -> None:
    before = (sys.stdout, sys.stderr)
    with streams.tolerant():
        assert (sys.stdout, sys.stderr) == before


@pytest.mark.parametrize("command", [["list"], ["history", "run"], ["gate", "--baseline", "x"]])
def test_a_working_folder_that_is_gone_is_told_in_a_sentence(
    tmp_path: Path, command: list[str]
) -> None:
    words = " ".join([sys.executable, "-m", "flopline", *command])
    done = subprocess.run(
        ["bash", "-c", f"cd {tmp_path} && rmdir {tmp_path} && exec {words}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (
        "flopline: the folder in which this was started is no longer there; change to another one\n"
    )


@pytest.mark.parametrize("variable", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
@pytest.mark.parametrize("command", [["list"], ["show"]])
def test_who_wants_no_colour_gets_no_escape(
    saved: Path, variable: dict[str, str], command: list[str]
) -> None:
    arguments = [*command, str(saved)] if command == ["show"] else command
    coloured = {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "100"}
    shown = {}
    for name, environment in {"with": coloured, "without": coloured | variable}.items():
        done = subprocess.run(
            [sys.executable, "-m", "flopline", *arguments],
            env=os.environ | environment,
            capture_output=True,
            check=True,
        )
        shown[name] = done.stdout
    assert b"\x1b[" in shown["with"]
    assert b"\x1b" not in shown["without"]


def test_a_file_in_the_current_folder_stands_in_for_no_module(tmp_path: Path) -> None:
    for name in ("random.py", "statistics.py", "typer.py"):
        (tmp_path / name).write_text("raise SystemExit('taken')")
    done = subprocess.run(
        [sys.executable, "-m", "flopline", "list"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
