"""`flopline gate`, run as a program that builds and measures two versions in a checkout."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner

from flopline import cli
from flopline.gate import storage
from flopline.gate.judge.statistics import hodges_lehmann
from flopline.gate.record import GateRecord, Settings
from flopline.gate.rules import Rule
from flopline.gate.values import block_values
from tests.gate.support.make_projects import PLAIN, PROJECT, SLOWER
from tests.gate.support.processes import gone, living
from tests.support import checkouts
from tests.support.checkouts import commit, git, state, write

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.judges_times

SUITES = Path(__file__).parents[1] / "suites"
LIGHT = ("-p", "no:hypothesispytest", "-p", "no:platformdirs")
"""Plugins that the tiny suite does without, so that workers start faster."""
GATE = """
[tool.flopline.gate]
suite = "never/used"
[tool.flopline.gate.benchmark.test_spin]
report-only = true
"""
RULES = (Rule("test_spin", report_only=True),)
TRAILERS = "Perf-Accepted: test_spin\nPerf-Accepted: test_gone"
KINDS = {"json": "r.json", "markdown": "r.md", "junit": "r.xml", "html": "r.html"}
"""The files that a run writes, by the name of the option."""


@dataclass(frozen=True)
class World:
    """A checkout with two branches, and the environment in which commands run there."""

    checkout: Path
    temporary: Path
    environment: dict[str, str]

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "flopline", "gate", *arguments, "--", *LIGHT],
            cwd=self.checkout,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Checks `main` out, with something staged, something changed and something new.

    The branch `slow` is 30 % slower.
    """
    home = tmp_path_factory.mktemp("world")
    checkout = home / "my project"
    checkout.mkdir()
    suite = (SUITES / "spin_and_work" / "test_subject.py").read_text("utf-8")
    no_torch = (SUITES / "no_torch" / "sitecustomize.py").read_text("utf-8")
    files = {
        "pyproject.toml": PROJECT + GATE,
        "benchmarks/test_subject.py": suite,
        "README": "one\n",
        "notes": "one\n",
        "src/subject/__init__.py": PLAIN,
        # Workers import it, because the tree of their side is on PYTHONPATH.
        "sitecustomize.py": no_torch,
    }
    with checkouts.world(home) as temporary:
        git(checkout, "init", "--quiet")
        write(checkout, files)
        commit(checkout, "base")
        git(checkout, "checkout", "--quiet", "-b", "slow")
        write(checkout, {"src/subject/__init__.py": SLOWER})
        commit(checkout, f"slow\n\n{TRAILERS}")
        git(checkout, "checkout", "--quiet", "main")
        write(checkout, {"README": "staged\n"})
        git(checkout, "add", "README")
        write(checkout, {"notes": "changed\n", "untracked": "new\n"})
        dropped = ("PYTHONPATH", "GITHUB_STEP_SUMMARY", "COLUMNS")
        environment = {name: value for name, value in os.environ.items() if name not in dropped}
        yield World(checkout, temporary, environment)


def leftovers(temporary: Path) -> list[str]:
    """Returns the gate's folders, and its workers that still run, in a temporary folder."""
    folders = [path.name for path in temporary.glob("flopline-*")]
    workers = living("FLOPLINE_SLOT=", f"TMPDIR={temporary}")
    return folders + [f"process {worker}" for worker in workers]


def outputs(folder: Path) -> list[str]:
    return [f"--{kind}={folder / name}" for kind, name in KINDS.items()]


# --------------------------------------------------------------------------------- whole runs


@dataclass(frozen=True)
class Finished:
    """A run that came to its end.

    Attributes:
        code: Its exit code.
        stdout: What it printed.
        stderr: What it printed on stderr.
        folder: Where it wrote its files.
        record: The record among them.
        untouched: True if the checkout is as it was before.
        left: What it left behind.
    """

    code: int
    stdout: str
    stderr: str
    folder: Path
    record: GateRecord
    untouched: bool
    left: list[str]


def finish(world: World, folder: Path, *arguments: str, **environment: str) -> Finished:
    before = state(world.checkout)
    github = folder / "summary.md"
    github.write_text("## Before\n", "utf-8")
    environment["GITHUB_STEP_SUMMARY"] = str(github)
    with world.start(*arguments, *outputs(folder), **environment) as process:
        stdout, stderr = process.communicate(timeout=300)
    return Finished(
        code=process.returncode,
        stdout=stdout,
        stderr=stderr,
        folder=folder,
        record=storage.load(folder / "r.json"),
        untouched=state(world.checkout) == before,
        left=leftovers(world.temporary),
    )


@pytest.fixture(scope="module")
def clean(world: World, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Judges the working tree, whose code is that of its commit, where nobody can import torch."""
    folder = tmp_path_factory.mktemp("clean")
    hooks = {"PYTHONPATH": str(SUITES / "no_torch"), "REFUSALS": str(folder / "refusals")}
    # The threshold is so coarse that no machine is too noisy for an answer.
    return finish(world, folder, "--baseline", "main", "--detect", "50%", **hooks)


@pytest.fixture(scope="module")
def regressed(world: World, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("regressed")
    return finish(world, folder, "--baseline", "main", "--candidate", "slow", "--detect", "10%")


@pytest.fixture(params=["clean", "regressed"])
def finished(request: pytest.FixtureRequest) -> Finished:
    """Either of the two runs."""
    run: Finished = request.getfixturevalue(request.param)
    return run


def test_a_candidate_with_the_same_code_passes_with_exit_code_0(clean: Finished) -> None:
    assert clean.code == 0, clean.stderr
    assert "no regression" in clean.stdout


def test_a_regressed_candidate_ends_with_exit_code_1_and_its_name(regressed: Finished) -> None:
    assert regressed.code == 1, regressed.stderr
    assert "regressed" in regressed.stdout
    assert "test_work" in regressed.stdout


def test_the_text_says_what_the_candidate_calls_more_and_from_where(regressed: Finished) -> None:
    line = 1 + SLOWER.splitlines().index("    padding(3 * n // 10)")
    assert "padding" in regressed.stdout
    assert f"subject/__init__.py:{line}" in regressed.stdout


def test_without_a_terminal_every_stage_and_block_is_a_line(regressed: Finished) -> None:
    lines = regressed.stderr.splitlines()
    assert lines[:2] == ["flopline gate: building", "flopline gate: collecting"]
    assert lines[2] == "flopline gate: screen, 1 of 4"
    confirming = re.compile(r"flopline gate: confirm 1 slower benchmark, \d+ of \d+, \d+ s left")
    assert any(confirming.fullmatch(line) for line in lines)
    assert lines[-1] == "flopline gate: explaining"
    assert "\x1b" not in regressed.stdout + regressed.stderr


def test_the_saved_record_agrees_with_the_exit_code(finished: Finished) -> None:
    assert finished.record.exit_code == finished.code
    regressions = [row for row in finished.record.comparisons if row.verdict == "regressed"]
    assert bool(regressions) == (finished.code == 1)
    content = json.loads((finished.folder / "r.json").read_text("utf-8"))
    assert content["schema_version"] == GateRecord.schema_version


def test_the_record_has_the_settings_that_were_requested(
    clean: Finished, regressed: Finished
) -> None:
    assert clean.record.settings == Settings(detect=0.5, arguments=LIGHT, rules=RULES)
    assert regressed.record.settings == Settings(detect=0.1, arguments=LIGHT, rules=RULES)


def test_the_record_has_what_the_commits_of_the_candidate_accept(
    clean: Finished, regressed: Finished
) -> None:
    rows = {row.id.rpartition("::")[2]: row for row in regressed.record.comparisons}
    assert regressed.record.candidate.commit.startswith(rows["test_spin"].accepted)
    assert (len(rows["test_spin"].accepted), rows["test_work"].accepted) == (7, "")
    (warning,) = [text for text in regressed.record.warnings if "Perf-Accepted" in text]
    assert "names 'test_gone', which is no benchmark of this run" in warning
    assert {row.accepted for row in clean.record.comparisons} == {""}


def test_the_record_names_the_two_versions_as_they_were_requested(
    clean: Finished, regressed: Finished
) -> None:
    assert clean.record.candidate.version.startswith("working tree (")
    assert clean.record.candidate.version.endswith(" + changes)")
    assert regressed.record.candidate.version.startswith("slow (")
    assert regressed.record.baseline.version.startswith("main (")
    assert regressed.record.baseline.commit != regressed.record.candidate.commit


def test_junit_has_a_case_per_benchmark_and_fails_if_one_regressed(finished: Finished) -> None:
    tree = ET.parse(finished.folder / "r.xml")  # noqa: S314  # our own
    names = {case.get("name", "").rpartition("::")[2] for case in tree.iter("testcase")}
    assert names >= {"test_spin", "test_work"}
    regressions = [row for row in finished.record.comparisons if row.verdict == "regressed"]
    failures = list(tree.iter("failure"))
    assert len(failures) == len(regressions)
    assert bool(failures) == (finished.code == 1)


def test_markdown_names_the_regressed_benchmark(regressed: Finished) -> None:
    text = (regressed.folder / "r.md").read_text("utf-8")
    assert "regressed" in text
    assert "test_work" in text


def test_the_page_has_a_dot_for_every_block_on_which_the_verdict_rests(
    regressed: Finished,
) -> None:
    (row,) = (row for row in regressed.record.comparisons if row.verdict == "regressed")
    blocks = block_values(regressed.record)[row.id]
    confirming = [block.value for block in blocks if block.stage == "confirm"]
    assert len(confirming) == row.blocks
    assert math.expm1(hodges_lehmann(confirming)) == pytest.approx(row.change)
    page = (regressed.folder / "r.html").read_text("utf-8")
    (drawn,) = re.findall('path class="confirm" d="([^"]*21.5h0)"', page)
    assert drawn.count("h0") == row.blocks


def test_the_markdown_is_appended_to_githubs_summary(finished: Finished) -> None:
    markdown = (finished.folder / "r.md").read_text("utf-8")
    assert markdown
    assert (finished.folder / "summary.md").read_text("utf-8") == "## Before\n" + markdown


def test_status_index_branches_and_worktrees_are_as_before(finished: Finished) -> None:
    assert finished.untouched


def test_no_worker_and_no_temporary_folder_is_left(finished: Finished) -> None:
    assert finished.left == []


def test_the_written_files_are_whole_and_the_only_ones(finished: Finished) -> None:
    others = {"refusals", "summary.md"}
    assert {path.name for path in finished.folder.iterdir()} - others == set(KINDS.values())


def test_neither_coordinator_nor_worker_needs_torch(clean: Finished) -> None:
    assert clean.code == 0
    started = (clean.folder / "refusals").read_text("utf-8").splitlines()
    assert any("-m flopline gate" in line for line in started)
    workers = [line for line in started if "gate/measure/worker" in line]
    assert len(workers) >= 2 * len(clean.record.blocks)


def test_show_prints_a_saved_record_as_the_run_did(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("COLUMNS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(variable, raising=False)
    shown = CliRunner().invoke(cli.app, ["gate", "show", str(finished.folder / "r.json")])
    assert (shown.stdout, shown.stderr, shown.exit_code) == (finished.stdout, "", 0)


def test_show_writes_the_other_formats_as_the_run_did(
    finished: Finished, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    arguments = ["gate", "show", str(finished.folder / "r.json"), *outputs(tmp_path)]
    assert CliRunner().invoke(cli.app, arguments).exit_code == 0
    for name in KINDS.values():
        again = (tmp_path / name).read_text("utf-8")
        assert again == (finished.folder / name).read_text("utf-8")
    assert len(list(tmp_path.iterdir())) == len(KINDS)


# ----------------------------------------------------------------------------- broken-off runs


BEFORE_A_BLOCK = ("building", "collecting", "screen, 1 of")
AFTER_A_BLOCK = "screen, 3 of"


@dataclass(frozen=True)
class Interrupted:
    """A run that was interrupted with Ctrl-C.

    Attributes:
        code: Its exit code.
        stdout: What it printed.
        messages: What it printed on stderr, without its progress.
        folder: Where it may have written its files.
        left: What it left behind.
    """

    code: int
    stdout: str
    messages: list[str]
    folder: Path
    left: list[str]


def interrupt(world: World, home: Path, moment: str) -> Interrupted:
    """Starts a run and interrupts it when its progress says that a moment has come."""
    temporary, folder = home / "temporary", home / "files"
    temporary.mkdir()
    folder.mkdir()
    arguments = ("--baseline", "main", "--candidate", "slow", *outputs(folder))
    with world.start(*arguments, TMPDIR=str(temporary)) as process:
        assert process.stderr
        try:
            heard = next(line for line in process.stderr if moment in line)
            while "screen" in moment and not living("FLOPLINE_SLOT=", f"TMPDIR={temporary}"):
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(timeout=60)
        finally:
            process.kill()
    # A worker that was just being started when the signal came ends by itself, because the other
    # end of its pipe is gone.
    assert gone(f"TMPDIR={temporary}")
    lines = (heard + stderr).splitlines()
    messages = [line for line in lines if not line.startswith("flopline gate: ")]
    return Interrupted(process.returncode, stdout, messages, folder, leftovers(temporary))


@pytest.fixture(scope="module")
def interrupted(world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Interrupted]:
    """Interrupts a run at every moment; nothing is judged, so they run side by side."""
    before = state(world.checkout)
    with ThreadPoolExecutor() as pool:
        runs = {}
        for moment in (*BEFORE_A_BLOCK, AFTER_A_BLOCK):
            home = tmp_path_factory.mktemp("interrupted")
            runs[moment] = pool.submit(interrupt, world, home, moment)
    assert state(world.checkout) == before
    return {moment: run.result() for moment, run in runs.items()}


@pytest.mark.parametrize("moment", BEFORE_A_BLOCK)
def test_ctrl_c_ends_with_exit_code_2_one_message_and_no_file(
    interrupted: dict[str, Interrupted], moment: str
) -> None:
    run = interrupted[moment]
    assert run.messages == ["flopline: interrupted; nothing was written"]
    assert (run.code, run.stdout) == (2, "")
    assert list(run.folder.iterdir()) == []


@pytest.mark.parametrize("moment", [*BEFORE_A_BLOCK, AFTER_A_BLOCK])
def test_ctrl_c_leaves_no_worker_and_no_temporary_folder(
    interrupted: dict[str, Interrupted], moment: str
) -> None:
    assert interrupted[moment].left == []


def test_ctrl_c_after_a_block_keeps_what_was_measured(interrupted: dict[str, Interrupted]) -> None:
    run = interrupted[AFTER_A_BLOCK]
    record = storage.load(run.folder / "r.json")
    assert (run.code, record.exit_code, len(record.blocks)) == (2, 2, 2)
    assert record.result == "broken off after 2 blocks: interrupted"
    assert record.result in run.stdout
    assert {row.verdict for row in record.comparisons} == {"inconclusive"}
