"""What `flopline gate --bisect` tells `git bisect run`; nothing is built or measured here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import pytest

from flopline import cli
from flopline.gate import run as procedure
from flopline.gate.measure.handle import WorkerError
from flopline.gate.measure.pair import SuiteError
from flopline.gate.record import ExitCode, GateRecord
from flopline.gate.sides import environment
from flopline.gate.sides.build import BuildError
from flopline.gate.sides.versions import VersionError
from tests.gate.support.make_records import changed, record_of
from tests.support import checkouts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Ending = Callable[..., int]
GOOD, BAD, SKIP, STOP = 0, 1, 125, 128


@pytest.fixture
def ending(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Ending:
    """Returns a function that runs the command and returns its exit code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.setattr(environment, "sides", lambda *_, **__: nullcontext(("b", "c")))
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # typer sets its own

    def end(found: GateRecord | BaseException, *arguments: str) -> int:
        def run(*_: object, **__: object) -> GateRecord:
            if isinstance(found, BaseException):
                raise found
            return found

        monkeypatch.setattr(procedure, "run", run)
        command = ["flopline", "gate", "--bisect", "--baseline", "v1", *arguments]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        assert "Traceback" not in capsys.readouterr().err or isinstance(found, ZeroDivisionError)
        assert isinstance(stopped.value.code, int)
        return stopped.value.code

    return end


@pytest.mark.parametrize(
    ("exit_code", "expected"),
    [
        (ExitCode.NO_REGRESSION, GOOD),
        (ExitCode.REGRESSION, BAD),
        (ExitCode.COULD_NOT_WORK, SKIP),
        (ExitCode.UNDECIDED, SKIP),
    ],
)
def test_a_commit_that_could_not_be_judged_is_skipped(
    exit_code: ExitCode, expected: int, ending: Ending
) -> None:
    assert ending(record_of([], exit_code=exit_code)) == expected


@pytest.mark.parametrize(
    "error", [BuildError("no compiler"), WorkerError("ImportError"), procedure.GateError("none")]
)
def test_a_commit_that_does_not_build_or_start_is_skipped(error: Exception, ending: Ending) -> None:
    assert ending(error) == SKIP


@pytest.mark.parametrize(
    "error",
    [
        VersionError("no such revision"),
        SuiteError("--help shows something"),
        KeyboardInterrupt(),
        OSError("no space left on device"),
        ZeroDivisionError(),
    ],
)
def test_what_is_no_fault_of_a_commit_stops_the_search(
    error: BaseException, ending: Ending
) -> None:
    assert ending(error) == STOP


def test_a_run_that_was_interrupted_stops_the_search_with_its_record(
    ending: Ending, tmp_path: Path
) -> None:
    words = f"{procedure.BROKEN} after 3 blocks: interrupted"
    broken = changed(result=words, exit_code=ExitCode.COULD_NOT_WORK)
    assert ending(broken, "--json", str(tmp_path / "r.json")) == STOP
    assert (tmp_path / "r.json").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--detect", "much"],
        ["--suite-from", "mine"],
        ["--budget"],
        ["--json", "no/such/folder/r.json"],
        ["--self-check", "1"],
        ["--baseline-python", "x"],
    ],
)
def test_a_wrong_use_of_the_command_line_stops_the_search(
    arguments: list[str], ending: Ending
) -> None:
    assert ending(record_of([], exit_code=ExitCode.NO_REGRESSION), *arguments) == STOP


def test_behind_the_dashes_the_option_is_pytests(
    ending: Ending, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(procedure, "run", lambda *_, **__: pytest.fail("it was measured"))
    command = ["flopline", "gate", "--baseline", "v1", "--detect", "much", "--", "--bisect"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == ExitCode.COULD_NOT_WORK


# ------------------------------------------------------------------------ with git, for real


@contextmanager
def repository(home: Path) -> Iterator[Path]:
    with checkouts.world(home):
        yield checkouts.checkout(home / "it", {"a": "1\n"}, {"a": "2\n"})


def test_an_interruption_stops_the_search(tmp_path: Path) -> None:
    with repository(tmp_path) as checkout:
        command = [sys.executable, "-m", "flopline", "gate", "--bisect", "--baseline", "HEAD"]
        with subprocess.Popen(command, cwd=checkout, text=True, stderr=subprocess.PIPE) as process:
            assert process.stderr is not None
            assert "building" in process.stderr.readline()
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=300)
    assert process.returncode == STOP


def test_git_stops_its_search_at_a_mistyped_option(tmp_path: Path) -> None:
    with repository(tmp_path) as checkout:
        for number in range(5):
            checkouts.write(checkout, {"a": f"{number}\n"})
            checkouts.commit(checkout, f"commit {number}")
        checkouts.git(checkout, "bisect", "start", "HEAD", "HEAD~4")
        program = [sys.executable, "-m", "flopline", "gate", "--bisect", "--baseline=HEAD~4"]
        program.append("--detect=much")
        done = subprocess.run(
            ["git", "bisect", "run", *program],
            cwd=checkout,
            env=os.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        log = checkouts.git(checkout, "bisect", "log")
    assert done.returncode != 0
    assert "--detect is 'much'" in done.stderr
    assert "git bisect good" not in log
    assert "git bisect bad" not in log
