"""What `flopline gate` refuses, shows and hands on; nothing is built or measured here."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from flopline import FloplineError, cli
from flopline.cli.console import LOG_WIDTH
from flopline.gate import run as procedure
from flopline.gate import selfcheck, storage
from flopline.gate.record import ExitCode, GateRecord, Settings
from flopline.gate.sides import environment
from flopline.gate.sides.build import BuildError
from flopline.gate.sides.versions import VersionError
from flopline.gate.signals import HELD_BACK
from flopline.gate.tell import junit, markdown, text
from flopline.gate.tell.summary import summarise
from flopline.progress import Progress
from tests.gate.support.make_records import RECORD, changed
from tests.support import checkouts

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator
    from pathlib import Path

    from flopline.progress import Report

Refusal = Callable[..., str]
"""Runs the command with these arguments and returns the line with which it refuses."""
Measuring = Callable[[Callable[..., object]], None]
"""Replaces both the building and the measuring."""
BOTH = (
    "give --baseline REV (and --candidate REV), or both --baseline-python PATH and "
    "--candidate-python PATH"
)
EVERY_ERROR = [FloplineError, procedure.GateError, BuildError, VersionError]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("home")
    with checkouts.world(home):
        yield checkouts.checkout(home / "my project", {"README": "one\n"}, {"README": "two\n"})


@pytest.fixture(autouse=True)
def here(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Puts this process into the checkout; what builds or measures nevertheless fails."""
    monkeypatch.chdir(checkout)
    monkeypatch.setenv("COLUMNS", "60")  # a message is one line on a narrow terminal, too
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.setattr(environment, "build", lambda *_: pytest.fail("it was built"))
    monkeypatch.setattr(procedure, "run", lambda *_, **__: pytest.fail("it was measured"))
    return checkout


@pytest.fixture
def refusal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refusal:
    def refuse(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["flopline", "gate", *arguments])
        monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # typer sets its own
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        assert (end.value.code, captured.out) == (2, "")
        lines = captured.err.splitlines()
        (message,) = (line for line in lines if not line.startswith("flopline gate: "))
        assert message.startswith("flopline: ")
        return message

    return refuse


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch) -> Measuring:
    def replace(run: Callable[..., object]) -> None:
        monkeypatch.setattr(environment, "sides", lambda *_, **__: nullcontext(("b", "c")))
        monkeypatch.setattr(procedure, "run", run)

    return replace


# ----------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    "value", ["abc", "", "0%", "-3%", "3 %%", "nan", "inf", "101%", "3s", "1e-9"]
)
def test_a_detect_that_is_no_percentage_is_refused_with_an_example(
    refusal: Refusal, value: str
) -> None:
    assert refusal("--baseline", "main", "--detect", value) == (
        f"flopline: --detect is {value!r}; allowed is a number from 0.1% to 100%, for example 0.1%"
    )


@pytest.mark.parametrize("value", ["abc", "0%", "-1%", "51%", "nan"])
def test_an_alpha_that_is_no_error_rate_is_refused(refusal: Refusal, value: str) -> None:
    message = refusal("--baseline", "main", "--alpha", value)
    assert message.startswith(f"flopline: --alpha is {value!r}; allowed is")


@pytest.mark.parametrize("value", ["abc", "0s", "-5s", "5m", "inf"])
def test_a_budget_that_is_no_time_is_refused(refusal: Refusal, value: str) -> None:
    message = refusal("--baseline", "main", "--budget", value)
    assert message.startswith(f"flopline: --budget is {value!r}; allowed is")


@pytest.mark.parametrize(
    ("detect", "fraction"), [("3%", 0.03), ("2.5", 0.025), (" 3 % ", 0.03), ("100%", 1.0)]
)
def test_a_percentage_may_have_decimals_and_leave_its_sign_out(
    refusal: Refusal,
    measuring: Measuring,
    detect: str,
    fraction: float,
) -> None:
    requested: list[Settings] = []

    def run(_: object, __: object, settings: Settings, **___: object) -> None:
        requested.append(settings)
        raise procedure.GateError("enough")

    measuring(run)
    message = refusal("--baseline", "main", "--detect", detect, "--", "-k", "one two")
    assert message == "flopline: enough"
    assert requested[0].detect == pytest.approx(fraction)
    assert requested[0].arguments == ("-k", "one two")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--candidate", "slow"],
        ["--baseline-python", sys.executable],
        ["--candidate-python", sys.executable],
        [
            *("--baseline", "main"),
            *("--baseline-python", sys.executable, "--candidate-python", sys.executable),
        ],
        ["--baseline", "main", "--candidate-python", sys.executable],
    ],
    ids=["nothing", "no baseline", "one interpreter", "the other one", "both", "half of both"],
)
def test_versions_and_interpreters_are_alternatives_and_one_is_needed(
    refusal: Refusal, arguments: list[str]
) -> None:
    assert refusal(*arguments) == f"flopline: {BOTH}"


def test_an_unknown_suite_from_is_refused_with_the_choices() -> None:
    result = CliRunner().invoke(cli.app, ["gate", "--baseline", "main", "--suite-from", "mine"])
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr
    words = " ".join(re.sub(r"[^\w'-]+", " ", result.stderr).split())
    for word in ("--suite-from", "mine", "candidate", "baseline", "each"):
        assert word in words


@pytest.mark.parametrize("option", ["--json", "--markdown", "--junit"])
def test_a_file_that_cannot_be_written_is_refused_before_the_build(
    refusal: Refusal, option: str, tmp_path: Path
) -> None:
    missing = tmp_path / "missing" / "file"
    message = refusal("--baseline", "main", option, str(missing))
    assert message.startswith(f"flopline: {missing} cannot be written because its folder does not")
    message = refusal("--baseline", "main", option, str(tmp_path))
    assert message.startswith(f"flopline: {tmp_path} cannot be written because it is a folder")


@pytest.mark.parametrize("other", ["r.json", "./r.json", "link.json"])
def test_two_outputs_in_one_file_are_refused_before_the_build(
    refusal: Refusal, other: str, tmp_path: Path
) -> None:
    (tmp_path / "link.json").symlink_to("r.json")
    one, two = str(tmp_path / "r.json"), f"{tmp_path}/{other}"
    message = refusal("--baseline", "main", "--json", one, "--markdown", two)
    assert "the same file is another output" in message


@pytest.mark.parametrize("option", ["json", "markdown", "junit"])
def test_self_check_refuses_files_because_it_writes_none(refusal: Refusal, option: str) -> None:
    message = refusal("--baseline", "main", "--self-check", "1", f"--{option}", "x")
    assert f"--self-check prints error rates and writes no files; leave --{option} out" in message


@pytest.mark.parametrize("side", ["baseline", "candidate"])
def test_a_version_that_is_neither_revision_nor_folder_is_refused_by_name(
    refusal: Refusal, side: str
) -> None:
    requested = {"baseline": "main", "candidate": "main", side: "no/such"}
    message = refusal("--baseline", requested["baseline"], "--candidate", requested["candidate"])
    assert f"the {side} 'no/such' is neither a revision" in message


def test_outside_of_a_checkout_a_revision_is_refused(
    refusal: Refusal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    message = refusal("--baseline", "main")
    assert "is in no git checkout" in message
    assert "give two folders" in message


def test_an_interpreter_that_is_none_is_refused_with_the_sides_name(refusal: Refusal) -> None:
    message = refusal("--baseline-python", sys.executable, "--candidate-python", "/no/such/python")
    assert "the candidate's interpreter '/no/such/python' is not an executable" in message


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--python", "/no/such/python"], "the interpreter '/no/such/python' is not an executable"),
        (["--python", "."], "the interpreter '.' is a folder without a bin/python"),
        (["--python", "/bin/sh"], "the interpreter '/bin/sh' is not a Python that runs"),
    ],
)
def test_an_interpreter_that_cannot_run_both_sides_is_refused(
    refusal: Refusal, arguments: list[str], reason: str
) -> None:
    assert reason in refusal("--baseline", "main", *arguments)


def test_one_interpreter_for_both_sides_excludes_one_for_each(refusal: Refusal) -> None:
    each = ("--baseline-python", sys.executable, "--candidate-python", sys.executable)
    message = refusal(*each, "--python", sys.executable)
    assert message == "flopline: with --baseline-python and --candidate-python, leave --python out"


def test_the_help_says_what_every_exit_code_means() -> None:
    result = CliRunner().invoke(cli.app, ["gate", "--help"], env={"COLUMNS": "200"})
    for code in ExitCode:
        assert f"{int(code)} {code.meaning}" in result.stdout


# -------------------------------------------------------------------------------- what it does


@pytest.mark.parametrize("code", list(ExitCode))
def test_a_run_ends_with_the_exit_code_of_its_record(measuring: Measuring, code: ExitCode) -> None:
    measuring(lambda *_, **__: changed(exit_code=code))
    result = CliRunner().invoke(cli.app, ["gate", "--baseline", "main"])
    assert result.exit_code == code
    assert f"(exit code {int(code)}: {code.meaning})" in " ".join(result.stdout.split())


def test_a_defect_of_the_gate_ends_with_exit_code_2_and_never_with_1(
    measuring: Measuring,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a defect")

    measuring(run)
    monkeypatch.setattr(sys, "argv", ["flopline", "gate", "--baseline", "main"])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # typer sets its own
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert "ZeroDivisionError: a defect" in capsys.readouterr().err


@pytest.mark.parametrize("error", EVERY_ERROR)
def test_whatever_stops_the_gate_is_one_line_and_exit_code_2(
    refusal: Refusal,
    measuring: Measuring,
    error: type[Exception],
) -> None:
    def run(*_: object, **__: object) -> None:
        raise error("what happened [/bold]; what to do")

    measuring(run)
    assert refusal("--baseline", "main") == "flopline: what happened [/bold]; what to do"


@pytest.mark.parametrize("number", HELD_BACK)
def test_a_terminated_run_ends_like_an_interrupted_one(
    refusal: Refusal, measuring: Measuring, number: signal.Signals
) -> None:
    def run(*_: object, **__: object) -> None:
        os.kill(os.getpid(), number)

    measuring(run)
    assert refusal("--baseline", "main") == "flopline: interrupted; nothing was written"


def test_self_check_prints_the_rates_and_ends_with_0(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = selfcheck.Rates(
        runs=2, alarms=0, undecided=0, slowed=10, found=10, false=0, seconds=9.0, detect=0.03
    )
    requested: list[int] = []

    def self_check(*_: object, runs: int, **__: object) -> selfcheck.Rates:
        requested.append(runs)
        return rates

    monkeypatch.setattr(environment, "sides", lambda *_, **__: nullcontext(("b", "c")))
    monkeypatch.setattr(selfcheck, "self_check", self_check)
    result = CliRunner().invoke(cli.app, ["gate", "--baseline", "main", "--self-check", "2"])
    assert (result.exit_code, result.stdout, requested) == (0, rates.text() + "\n", [2])


@pytest.mark.parametrize(("code", "end"), [(0, 2), (1, 1), (2, 2), (3, 3)])
def test_a_file_that_fails_costs_neither_verdict_nor_other_files(
    measuring: Measuring, tmp_path: Path, code: int, end: int
) -> None:
    record = changed(exit_code=ExitCode(code))
    measuring(lambda *_, **__: record)
    options = ["--json", "/dev/full", "--markdown", str(tmp_path / "m"), "--junit", "/dev/full"]
    result = CliRunner().invoke(cli.app, ["gate", "--baseline", "main", *options])
    assert result.exit_code == end
    assert f"(exit code {code}: {ExitCode(code).meaning})" in " ".join(result.stdout.split())
    assert (tmp_path / "m").read_text("utf-8") == markdown.render(summarise(record))
    failed = "flopline: /dev/full could not be written (No space left on device)"
    assert result.stderr.count(failed) == 2


@pytest.mark.parametrize("summary", ["missing/summary.md", "."])
def test_a_step_summary_that_cannot_be_written_is_only_told(
    measuring: Measuring, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, summary: str
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / summary))
    measuring(lambda *_, **__: changed(exit_code=ExitCode.NO_REGRESSION))
    result = CliRunner().invoke(cli.app, ["gate", "--baseline", "main"])
    assert result.exit_code == 0
    assert "(exit code 0" in " ".join(result.stdout.split())
    assert "which GITHUB_STEP_SUMMARY names, cannot be written" in result.stderr


def test_what_is_at_work_steers_no_terminal(measuring: Measuring) -> None:
    def run(*_: object, report: Report, **__: object) -> GateRecord:
        report(Progress("block \x1b]0;taken\x07", detail="test_\x1b[2J"))
        raise procedure.GateError("pip said\n\x1b]0;taken\x07\tdone")

    measuring(run)
    result = CliRunner().invoke(cli.app, ["gate", "--baseline", "main"])
    assert "\x1b" not in result.output
    assert r"flopline gate: block \x1b]0;taken\x07" in result.stderr


# -------------------------------------------------------------------------------------- show


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The file of a saved record in which there is something of everything."""
    (tmp_path / "saved").mkdir()
    path = tmp_path / "saved" / "r.json"
    storage.save(RECORD, path)
    return path


def shown(record: GateRecord, width: int) -> str:
    return text.render(summarise(record), width) + "\n"


def test_show_prints_a_saved_record_and_ends_with_0(saved: Path) -> None:
    result = CliRunner().invoke(cli.app, ["gate", "show", str(saved)], env={"COLUMNS": "90"})
    assert (result.stdout, result.stderr, result.exit_code) == (shown(RECORD, 90), "", 0)


def test_where_nobody_knows_the_width_names_have_room(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS")
    result = CliRunner().invoke(cli.app, ["gate", "show", str(saved)])
    assert result.stdout == shown(RECORD, LOG_WIDTH)


def test_show_writes_the_formats_that_are_requested(saved: Path, tmp_path: Path) -> None:
    paths = {kind: tmp_path / kind for kind in ("json", "markdown", "junit")}
    options = [f"--{kind}={path}" for kind, path in paths.items()]
    assert CliRunner().invoke(cli.app, ["gate", "show", str(saved), *options]).exit_code == 0
    summary = summarise(RECORD)
    assert paths["json"].read_text("utf-8") == saved.read_text("utf-8")
    assert paths["markdown"].read_text("utf-8") == markdown.render(summary)
    assert paths["junit"].read_text("utf-8") == junit.render(summary)


def test_show_does_not_write_over_the_record_that_it_reads(refusal: Refusal, saved: Path) -> None:
    before = saved.read_text("utf-8")
    message = refusal("--markdown", str(saved), "show", str(saved))
    assert "the same file is read" in message
    assert saved.read_text("utf-8") == before


def test_the_markdown_is_appended_to_githubs_summary(
    saved: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    github = tmp_path / "summary.md"
    github.write_text("## Before\n", "utf-8")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(github))
    assert CliRunner().invoke(cli.app, ["gate", "show", str(saved)]).exit_code == 0
    assert github.read_text("utf-8") == "## Before\n" + markdown.render(summarise(RECORD))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("not json", "is not JSON"),
        ("", "is not JSON"),
        ('{"machine_info": {}, "benchmarks": []}', "is no record of flopline's"),
        ("[1, 2]", "holds a JSON list, no record; give a file that `flopline gate --json` wrote"),
        ('{"kind": "gate", "schema_version": 99}', "schema version 99; this flopline reads 3"),
        (
            '{"schema_version": 2, "comparisons": [], "exit_code": 0}',
            "is a gate record of schema version 2; this flopline reads 3",
        ),
        ('{"kind": "gate", "schema_version": 3}', "is not a record of `flopline gate`"),
    ],
    ids=["text", "empty", "pytest-benchmark", "list", "newer", "older", "hollow"],
)
def test_show_refuses_a_file_that_is_no_record(
    refusal: Refusal, content: str, complaint: str, tmp_path: Path
) -> None:
    path = tmp_path / "r.json"
    path.write_text(content)
    message = refusal("show", str(path))
    assert complaint in message
    assert str(path) in message


def test_show_refuses_a_binary_file(refusal: Refusal, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_bytes(b"\xff\xfe\x00")
    assert "is not JSON" in refusal("show", str(tmp_path / "r.json"))


def test_show_refuses_a_missing_file_by_its_name(refusal: Refusal, tmp_path: Path) -> None:
    assert "r.json" in refusal("show", str(tmp_path / "r.json"))
    assert str(tmp_path) in refusal("show", str(tmp_path))


@pytest.mark.parametrize("files", [[], ["a.json", "b.json"]])
def test_show_takes_one_file(refusal: Refusal, files: list[str]) -> None:
    assert refusal("show", *files).startswith("flopline: gate show takes one file")
