"""`flopline gate`, run as a program in a checkout; what is refused before anything is built, in this process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner

from flopline import cli
from flopline.gate import record, selfcheck, storage
from flopline.gate import run as procedure
from flopline.gate.sides import environment as environments
from tests.gate.support.make_projects import PLAIN, PROJECT, SLOWER
from tests.gate.support.processes import living
from tests.support import checkouts
from tests.support.checkouts import commit, git, state, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.judges_times
SUITE = """\
import subject


def test_spin(benchmark):
    benchmark(subject.spin, 800)


def test_work(benchmark):
    benchmark(subject.work)
"""
LIGHT = ("-p", "no:hypothesispytest", "-p", "no:platformdirs")
"""Plugins that the tiny suite does without, so that workers start faster."""
NO_TORCH = """\
import os, sys

class Refuses:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("there is no torch here", name="torch")

sys.meta_path.insert(0, Refuses())
if "REFUSALS" in os.environ:
    with open(os.environ["REFUSALS"], "a") as file:
        file.write(" ".join(sys.orig_argv) + chr(10))
"""


@dataclass(frozen=True)
class World:
    """A checkout with two branches, a temporary folder of its own, and the environment for both."""

    checkout: Path
    temporary: Path
    environment: dict[str, str]

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "flopline", "gate", *arguments]

    def gate(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            cwd=self.checkout,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def leftovers(self) -> list[str]:
        """The gate's folders, and its workers that still run, as far as they are this world's."""
        workers = living("FLOPLINE_SLOT=", f"TMPDIR={self.temporary}")
        return [path.name for path in self.temporary.glob("flopline-*")] + [
            f"process {pid}" for pid in workers
        ]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """`main` is checked out, with something staged, something changed and something new; `slow` is 30 % slower."""
    home = tmp_path_factory.mktemp("world")
    checkout = home / "my project"
    checkout.mkdir()
    with checkouts.world(home) as temporary:
        git(checkout, "init", "--quiet")
        files = {
            "pyproject.toml": PROJECT,
            "benchmarks/test_subject.py": SUITE,
            "README": "one\n",
            "notes": "one\n",
        }
        # In the project's root it comes along to every worker: sides have their tree on PYTHONPATH.
        write(checkout, {**files, "src/subject/__init__.py": PLAIN, "sitecustomize.py": NO_TORCH})
        commit(checkout, "base")
        git(checkout, "checkout", "--quiet", "-b", "slow")
        write(checkout, {"src/subject/__init__.py": SLOWER})
        commit(checkout, "slow")
        git(checkout, "checkout", "--quiet", "main")
        write(checkout, {"README": "staged\n"})
        git(checkout, "add", "README")
        write(checkout, {"notes": "changed\n", "untracked": "new\n"})
        dropped = ("PYTHONPATH", "GITHUB_STEP_SUMMARY", "COLUMNS")
        environment = {name: value for name, value in os.environ.items() if name not in dropped}
        yield World(checkout, temporary, environment)


@dataclass(frozen=True)
class Ran:
    """A finished run, what it wrote, and whether the checkout is as before."""

    done: subprocess.CompletedProcess[str]
    folder: Path
    untouched: bool
    left: list[str]

    @property
    def record(self) -> record.GateRecord:
        return storage.load(self.folder / "r.json")


def ran(
    world: World, folder: Path, *arguments: str, detect: str = "10%", **environment: str
) -> Ran:
    before = state(world.checkout)
    files = [
        f"--{kind}={folder / name}"
        for kind, name in (("json", "r.json"), ("markdown", "r.md"), ("junit", "r.xml"))
    ]
    (folder / "summary.md").write_text("## Before\n", "utf-8")
    done = world.gate(
        *arguments,
        "--detect",
        detect,
        *files,
        "--",
        *LIGHT,
        GITHUB_STEP_SUMMARY=str(folder / "summary.md"),
        **environment,
    )
    return Ran(done, folder, state(world.checkout) == before, world.leftovers())


@pytest.fixture(scope="module")
def clean(world: World, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The working tree, whose code is that of its commit, where nobody can import torch."""
    folder = tmp_path_factory.mktemp("clean")
    hook = write(folder / "hook", {"sitecustomize.py": NO_TORCH})
    # So coarse that no machine is too noisy for an answer.
    hooks = {"PYTHONPATH": str(hook), "REFUSALS": str(folder / "refusals")}
    return ran(world, folder, "--baseline", "main", detect="50%", **hooks)


@pytest.fixture(scope="module")
def regressed(world: World, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return ran(
        world, tmp_path_factory.mktemp("regressed"), "--baseline", "main", "--candidate", "slow"
    )


def test_a_candidate_with_the_same_code_passes_with_exit_code_0(clean: Ran) -> None:
    assert clean.done.returncode == 0, clean.done.stderr
    assert "no regression" in clean.done.stdout


def test_a_regressed_candidate_ends_with_exit_code_1_and_its_name(regressed: Ran) -> None:
    assert regressed.done.returncode == 1, regressed.done.stderr
    assert "regressed" in regressed.done.stdout
    assert "test_work" in regressed.done.stdout


def test_the_text_says_what_the_candidate_calls_more_and_from_where(regressed: Ran) -> None:
    line = 1 + SLOWER.splitlines().index("    padding(3 * n // 10)")
    assert "padding" in regressed.done.stdout
    assert f"subject/__init__.py:{line}" in regressed.done.stdout


def test_without_a_terminal_every_stage_and_block_is_a_line_on_stderr(regressed: Ran) -> None:
    lines = regressed.done.stderr.splitlines()
    assert lines[:2] == ["flopline gate: building", "flopline gate: collecting"]
    assert lines[2] == "flopline gate: screen, block 1 of 4"
    assert any(
        re.fullmatch(r"flopline gate: confirm, block \d+ of \d+, \d+ s left", line)
        for line in lines
    )
    assert lines[-1] == "flopline gate: explaining"
    assert "\x1b" not in regressed.done.stdout + regressed.done.stderr


@pytest.mark.parametrize("which", ["clean", "regressed"])
def test_the_saved_record_agrees_with_the_exit_code(
    which: str, request: pytest.FixtureRequest
) -> None:
    run: Ran = request.getfixturevalue(which)
    assert run.record.exit_code == run.done.returncode
    assert any(row.verdict == "regressed" for row in run.record.comparisons) == (
        run.done.returncode == 1
    )
    assert run.record.settings == record.Settings(
        detect={"clean": 0.5, "regressed": 0.1}[which], arguments=LIGHT
    )
    assert (
        json.loads((run.folder / "r.json").read_text("utf-8"))["schema_version"]
        == record.GateRecord.schema_version
    )


def test_the_record_names_the_two_versions_as_they_were_asked_for(
    clean: Ran, regressed: Ran
) -> None:
    assert clean.record.candidate.version.startswith("working tree (")
    assert clean.record.candidate.version.endswith(" + changes)")
    assert regressed.record.candidate.version.startswith("slow (")
    assert regressed.record.baseline.version.startswith("main (")
    assert regressed.record.baseline.commit != regressed.record.candidate.commit


def test_junit_has_a_case_per_benchmark_and_fails_only_where_one_regressed(
    clean: Ran, regressed: Ran
) -> None:
    for run in (clean, regressed):
        tree = ET.parse(run.folder / "r.xml")  # noqa: S314  # our own
        assert {"test_spin", "test_work"} <= {
            case.get("name", "").rpartition("::")[2] for case in tree.iter("testcase")
        }
        assert len(list(tree.iter("failure"))) == sum(
            row.verdict == "regressed" for row in run.record.comparisons
        )
        assert (len(list(tree.iter("failure"))) > 0) == (run.done.returncode == 1)


def test_markdown_names_the_regressed_benchmark(regressed: Ran) -> None:
    text = (regressed.folder / "r.md").read_text("utf-8")
    assert "regressed" in text
    assert "test_work" in text


@pytest.mark.parametrize("which", ["clean", "regressed"])
def test_the_markdown_is_appended_to_githubs_summary(
    which: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(which).folder
    markdown = (folder / "r.md").read_text("utf-8")
    assert markdown
    assert (folder / "summary.md").read_text("utf-8") == "## Before\n" + markdown


@pytest.mark.parametrize("which", ["clean", "regressed"])
def test_status_index_branches_and_worktrees_are_as_before(
    which: str, request: pytest.FixtureRequest
) -> None:
    assert request.getfixturevalue(which).untouched


@pytest.mark.parametrize("which", ["clean", "regressed"])
def test_no_worker_and_no_temporary_folder_is_left(
    which: str, request: pytest.FixtureRequest
) -> None:
    assert request.getfixturevalue(which).left == []


@pytest.mark.parametrize("which", ["clean", "regressed"])
def test_the_written_files_are_whole_and_the_only_ones(
    which: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(which).folder
    others = {"hook", "refusals", "summary.md"}
    assert {path.name for path in folder.iterdir()} - others == {"r.json", "r.md", "r.xml"}


def test_neither_coordinator_nor_worker_needs_torch(clean: Ran) -> None:
    assert clean.done.returncode == 0
    started = (clean.folder / "refusals").read_text("utf-8").splitlines()
    assert any("-m flopline gate" in line for line in started)
    workers = [line for line in started if "gate/measure/worker" in line]
    assert len(workers) >= 2 * len(clean.record.blocks)


@pytest.mark.parametrize("which", ["clean", "regressed"])
def test_show_prints_a_saved_record_as_the_run_did(
    world: World, which: str, request: pytest.FixtureRequest
) -> None:
    run: Ran = request.getfixturevalue(which)
    shown = world.gate("show", str(run.folder / "r.json"))
    assert (shown.stdout, shown.stderr, shown.returncode) == (run.done.stdout, "", 0)


def test_show_writes_the_other_formats_as_the_run_did(
    world: World, regressed: Ran, tmp_path: Path
) -> None:
    again = [
        f"--markdown={tmp_path / 'r.md'}",
        f"--junit={tmp_path / 'r.xml'}",
        f"--json={tmp_path / 'r.json'}",
    ]
    assert world.gate("show", str(regressed.folder / "r.json"), *again).returncode == 0
    for path in tmp_path.iterdir():
        assert path.read_text("utf-8") == (regressed.folder / path.name).read_text("utf-8")
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("moment", ["building", "collecting", "screen, block 1"])
def test_ctrl_c_ends_with_exit_code_2_one_message_and_nothing_left(
    world: World, moment: str, tmp_path: Path
) -> None:
    before = state(world.checkout)
    files = [f"--{kind}={tmp_path / kind}" for kind in ("json", "markdown", "junit")]
    process = subprocess.Popen(
        world.command("--baseline", "main", "--candidate", "slow", *files),
        cwd=world.checkout,
        env=world.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr
        try:
            heard = next(line for line in process.stderr if moment in line)
            while "screen" in moment and not any(
                name.startswith("process") for name in world.leftovers()
            ):
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(timeout=60)
        finally:
            process.kill()
    lines = [
        line for line in (heard + stderr).splitlines() if not line.startswith("flopline gate: ")
    ]
    assert lines == ["flopline: interrupted; nothing was written"]
    assert (process.returncode, stdout) == (2, "")
    # A worker that was just being started when the signal came ends by itself: the other end of its pipe is gone.
    deadline = time.monotonic() + 30
    while world.leftovers() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert world.leftovers() == []
    assert list(tmp_path.iterdir()) == []
    assert state(world.checkout) == before


def test_ctrl_c_after_a_block_keeps_what_was_measured(world: World, tmp_path: Path) -> None:
    process = subprocess.Popen(
        world.command("--baseline", "main", "--candidate", "slow", f"--json={tmp_path / 'json'}"),
        cwd=world.checkout,
        env=world.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr
        try:
            next(line for line in process.stderr if "screen, block 3" in line)
            process.send_signal(signal.SIGINT)
            stdout, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    found = storage.load(tmp_path / "json")
    assert (process.returncode, found.exit_code, len(found.blocks)) == (2, 2, 2)
    assert found.result == "broken off after 2 blocks: interrupted"
    assert found.result in stdout
    assert {row.verdict for row in found.comparisons} == {"inconclusive"}
    assert world.leftovers() == []


@pytest.fixture
def here(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """This process in the checkout; what builds or measures nevertheless fails."""
    monkeypatch.chdir(world.checkout)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("COLUMNS", "60")  # a message is one line on a narrow terminal, too
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.setattr(environments, "build", lambda *_: pytest.fail("it was built"))
    monkeypatch.setattr(procedure, "run", lambda *_, **__: pytest.fail("it was measured"))
    return world


def refusal(*arguments: str) -> str:
    """The one line with which the command refuses."""
    result = CliRunner().invoke(cli.app, ["gate", *arguments])
    assert result.exit_code == 2, (result.output, result.exception)
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if not line.startswith("flopline gate: ")]
    assert len(lines) == 1
    assert lines[0].startswith("flopline: ")
    return lines[0]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "value", ["abc", "", "0%", "-3%", "3 %%", "nan", "inf", "101%", "3s", "1e-9"]
)
def test_a_detect_that_is_no_percentage_is_refused_with_an_example(value: str) -> None:
    text = refusal("--baseline", "main", "--detect", value)
    assert (
        text
        == f"flopline: --detect is {value!r}; allowed is a number from 0.1% to 100%, for example 0.1%"
    )


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("value", ["abc", "0%", "-1%", "51%", "nan"])
def test_an_alpha_that_is_no_error_rate_is_refused(value: str) -> None:
    assert refusal("--baseline", "main", "--alpha", value).startswith(
        f"flopline: --alpha is {value!r}; allowed is"
    )


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("value", ["abc", "0s", "-5s", "5m", "inf"])
def test_a_budget_that_is_no_time_is_refused(value: str) -> None:
    assert refusal("--baseline", "main", "--budget", value).startswith(
        f"flopline: --budget is {value!r}; allowed is"
    )


@pytest.mark.parametrize(
    ("detect", "found"), [("3%", 0.03), ("2.5", 0.025), (" 3 % ", 0.03), ("100%", 1.0)]
)
def test_a_percentage_may_have_decimals_and_its_sign_may_be_left_out(
    here: World, monkeypatch: pytest.MonkeyPatch, detect: str, found: float
) -> None:
    assert here
    seen: list[record.Settings] = []

    def run(_: object, __: object, settings: record.Settings, **___: object) -> record.GateRecord:
        seen.append(settings)
        raise procedure.GateError("enough")

    monkeypatch.setattr(environments, "sides", lambda *_, **__: nullcontext(("b", "c")))
    monkeypatch.setattr(procedure, "run", run)
    assert (
        refusal("--baseline", "main", "--detect", detect, "--", "-k", "one two")
        == "flopline: enough"
    )
    assert seen[0].detect == pytest.approx(found)
    assert seen[0].arguments == ("-k", "one two")


BOTH = "give --baseline REV (and --candidate REV), or both --baseline-python PATH and --candidate-python PATH"


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--candidate", "slow"],
        ["--baseline-python", sys.executable],
        ["--candidate-python", sys.executable],
        [
            "--baseline",
            "main",
            "--baseline-python",
            sys.executable,
            "--candidate-python",
            sys.executable,
        ],
        ["--baseline", "main", "--candidate-python", sys.executable],
    ],
    ids=["nothing", "no baseline", "one interpreter", "the other one", "both", "half of both"],
)
def test_versions_and_interpreters_are_alternatives_and_one_is_needed(arguments: list[str]) -> None:
    assert refusal(*arguments) == f"flopline: {BOTH}"


@pytest.mark.usefixtures("here")
def test_an_unknown_suite_from_is_refused_with_the_choices() -> None:
    result = CliRunner().invoke(cli.app, ["gate", "--baseline", "main", "--suite-from", "mine"])
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr
    words = " ".join(re.sub(r"[^\w'-]+", " ", result.stderr).split())
    for word in ("--suite-from", "mine", "candidate", "baseline", "each"):
        assert word in words


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("option", ["--json", "--markdown", "--junit"])
def test_a_file_that_could_not_be_written_is_refused_before_anything_is_built(
    option: str, tmp_path: Path
) -> None:
    for path in (tmp_path / "missing" / "file", tmp_path):
        text = refusal("--baseline", "main", option, str(path))
        assert (
            text
            == f"flopline: {path} cannot be written: it is a folder, or its folder does not exist"
        )


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("side", ["baseline", "candidate"])
def test_a_version_that_is_neither_revision_nor_folder_is_refused_by_name(side: str) -> None:
    versions_asked = {"baseline": "main", "candidate": "main", side: "no/such"}
    text = refusal(
        *(word for name, asked in versions_asked.items() for word in (f"--{name}", asked))
    )
    assert f"the {side} 'no/such' is neither a revision" in text


def test_outside_of_a_checkout_a_revision_is_refused(
    here: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert here
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    text = refusal("--baseline", "main")
    assert "is in no git checkout" in text
    assert "give two folders" in text


@pytest.mark.usefixtures("here")
def test_an_interpreter_that_is_none_is_refused_with_the_sides_name() -> None:
    text = refusal("--baseline-python", sys.executable, "--candidate-python", "/no/such/python")
    assert "the candidate's interpreter '/no/such/python' is not an executable" in text


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("not json", "is not JSON"),
        ("", "is not JSON"),
        ('{"machine_info": {}, "benchmarks": []}', "schema version None; this flopline reads 2"),
        ("[1, 2]", "holds a JSON list, no record; give a file that `flopline gate --json` wrote"),
        ('{"schema_version": 99}', "schema version 99; this flopline reads 2"),
        ('{"schema_version": 2}', "is not a gate record"),
    ],
    ids=["text", "empty", "pytest-benchmark", "list", "newer", "hollow"],
)
def test_show_refuses_a_file_that_is_no_record(
    content: str, complaint: str, tmp_path: Path
) -> None:
    text = refusal("show", str(write(tmp_path, {"r.json": content}) / "r.json"))
    assert complaint in text
    assert str(tmp_path / "r.json") in text


@pytest.mark.usefixtures("here")
def test_show_refuses_a_binary_file(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_bytes(b"\xff\xfe\x00")
    assert "is not JSON" in refusal("show", str(tmp_path / "r.json"))


@pytest.mark.usefixtures("here")
def test_show_refuses_a_missing_file_by_its_name(tmp_path: Path) -> None:
    assert "r.json" in refusal("show", str(tmp_path / "r.json"))
    assert str(tmp_path) in refusal("show", str(tmp_path))


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("files", [[], ["a.json", "b.json"]])
def test_show_takes_one_file(files: list[str]) -> None:
    assert refusal("show", *files).startswith("flopline: gate show takes one file")


def test_a_defect_of_the_gate_ends_with_exit_code_2_and_never_with_1(
    here: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert here

    def run(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(environments, "sides", lambda *_, **__: nullcontext(("b", "c")))
    monkeypatch.setattr(procedure, "run", run)
    monkeypatch.setattr(sys, "argv", ["flopline", "gate", "--baseline", "main"])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # typer sets its own
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert "ZeroDivisionError: a defect" in capsys.readouterr().err


@pytest.mark.parametrize("error", procedure.ERRORS)
def test_whatever_stops_the_gate_is_one_line_and_exit_code_2(
    here: World, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    assert here

    def run(*_: object, **__: object) -> None:
        raise error("what happened [/bold]; what to do")

    monkeypatch.setattr(environments, "sides", lambda *_, **__: nullcontext(("b", "c")))
    monkeypatch.setattr(procedure, "run", run)
    assert refusal("--baseline", "main") == "flopline: what happened [/bold]; what to do"


def test_self_check_prints_the_rates_and_ends_with_0(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert here
    rates = selfcheck.Rates(
        runs=2, alarms=0, undecided=0, slowed=10, found=10, false=0, seconds=9.0, detect=0.03
    )
    asked: list[int] = []

    def self_check(*_: object, runs: int, **__: object) -> selfcheck.Rates:
        asked.append(runs)
        return rates

    monkeypatch.setattr(environments, "sides", lambda *_, **__: nullcontext(("b", "c")))
    monkeypatch.setattr(selfcheck, "self_check", self_check)
    result = CliRunner().invoke(cli.app, ["gate", "--baseline", "main", "--self-check", "2"])
    assert (result.exit_code, result.stdout, asked) == (0, rates.text() + "\n", [2])
