"""The gate as a step of a pipeline: what the action's step runs, for the events of GitHub."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from flopline import cli
from flopline.cli import ci
from flopline.gate import storage
from tests.gate.support.make_records import RECORD, changed
from tests.support.checkouts import git, world
from tests.support.pipelines import Origin, make_origin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flopline.gate.record import GateRecord

ACTION = Path(__file__).parents[2] / "action.yml"
PLAIN = "def work():\n    return sum(range(2000))\n"
SLOW = "def work():\n    return max(sum(range(2000)) for _ in range(4))\n"
SUITE = """\
from subject import work


def test_work(benchmark):
    benchmark(work)
"""
PROJECT = '[project]\nname = "subject"\nversion = "1"\n'
FILES = {"pyproject.toml": PROJECT, "subject.py": PLAIN, "benchmarks/test_work.py": SUITE}


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    home = tmp_path_factory.mktemp("origin")
    with world(home):
        made = make_origin(home, FILES, {"subject.py": SLOW})
        git(made.path, "branch", "-D", "work")  # it lies in a fork
        yield made


def pull_request(origin: Origin, *, fork: bool) -> dict[str, Any]:
    """Returns the part of the event that is read, as GitHub sends it."""
    head = {"sha": origin.work, "ref": "work", "repo": {"fork": fork}}
    base = {"sha": origin.fork_point, "ref": "main"}
    return {"pull_request": {"number": 7, "base": base, "head": head}}


def push(origin: Origin) -> dict[str, Any]:
    before = git(origin.path, "rev-parse", "main~1")
    facts = {"before": before, "after": origin.main, "ref": "refs/heads/main", "forced": False}
    return {**facts, "repository": {"default_branch": "main"}}


# ---------------------------------------------------------------------- the step, for real


@dataclass(frozen=True)
class Step:
    """What the action's step has done.

    Attributes:
        code: Its exit code.
        stdout: What it printed.
        outputs: What it set for later steps.
        summary: What it added to the summary of the job.
        folder: Where its files are.
        record: The record among them.
    """

    code: int
    stdout: str
    outputs: dict[str, str]
    summary: str
    folder: Path
    record: GateRecord


def run_step(checkout: Path, folder: Path, event: dict[str, Any], **inputs: str) -> Step:
    """Runs the action's step `Compare` in a checkout, with the variables that the action sets."""
    folder.mkdir()
    (folder / "event.json").write_text(json.dumps(event))
    step = ACTION.read_text().partition("- name: Compare\n")[2]
    step = step.partition("    - if:")[0]
    given = {"inputs.python": sys.executable, "runner.temp": str(folder), "inputs.name": "out"}
    given |= {f"inputs.{name.replace('_', '-')}": value for name, value in inputs.items()}
    variables = {
        name: re.sub(
            r"\$\{\{ ([\w.-]+) \}\}", lambda expression: given.get(expression[1], ""), text
        )
        for name, text in re.findall(r"^        (\w+): (.*)$", step, re.MULTILINE)
    }
    environment = os.environ | variables
    environment |= {
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": "pull_request" if "pull_request" in event else "push",
        "GITHUB_EVENT_PATH": str(folder / "event.json"),
        "GITHUB_OUTPUT": str(folder / "output"),
        "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
    }
    (script,) = re.findall(r"^      run: (.*)$", step, re.MULTILINE)
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    done = subprocess.run(
        command, cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    outputs = dict(line.split("=", 1) for line in (folder / "output").read_text().splitlines())
    record = storage.load(folder / "out" / "gate.json")
    summary = (folder / "summary.md").read_text()
    return Step(done.returncode, done.stdout, outputs, summary, folder / "out", record)


@pytest.mark.judges_times
def test_a_forks_pull_request_fails_beside_its_line_with_summary_and_comment(
    origin: Origin, tmp_path: Path
) -> None:
    checkout = origin.check_out(tmp_path / "checkout", "refs/pull/7/merge")
    event = pull_request(origin, fork=True)
    step = run_step(checkout, tmp_path / "run", event, suite="benchmarks", detect="50%")
    assert step.code == 1, step.stdout
    assert step.outputs == {"exit-code": "1", "result": "regressed", "folder": str(step.folder)}
    assert step.record.baseline.commit == origin.main
    annotations = [line for line in step.stdout.splitlines() if line.startswith("::")]
    assert len(annotations) == 1
    assert annotations[0].startswith("::error file=subject.py,line=2,title=test_work is ")
    page = (step.folder / "gate.md").read_text()
    assert step.summary == page
    assert page.startswith("**regressed**")
    comment = json.loads((step.folder / "comment.json").read_text())
    facts = {"pull_request": 7, "exit_code": 1, "regressed": 1, "improved": 0, "page": page}
    assert comment == facts
    assert '<testcase classname="benchmarks/test_work.py"' in (step.folder / "gate.xml").read_text()
    assert git(checkout, "status", "--porcelain") == ""


@pytest.mark.parametrize("kind", ["pull request", "push"])
def test_every_input_reaches_the_gate_and_the_event_names_the_baseline(
    kind: str, origin: Origin, tmp_path: Path
) -> None:
    is_push = kind == "push"
    ref = "refs/heads/main" if is_push else "refs/pull/7/merge"
    event = push(origin) if is_push else pull_request(origin, fork=False)
    checkout = origin.check_out(tmp_path / "checkout", ref)
    step = run_step(
        checkout,
        tmp_path / "run",
        event,
        suite="benchmarks -k 'test_work or nothing'",
        detect="99%",
        budget="3s",
        options="--suite-from baseline --alpha '2 %'",
        part="1/2",
        report_only="true",
    )
    assert step.code in (0, 2)  # never 1 or 3
    expected = git(origin.path, "rev-parse", "main~1") if is_push else origin.main
    assert step.record.baseline.commit == expected
    settings = step.record.settings
    assert (settings.detect, settings.budget, settings.alpha) == (0.99, 3.0, 0.01)
    assert settings.arguments == ("benchmarks", "-k", "test_work or nothing")
    assert (settings.suite_from, str(settings.part)) == ("baseline", "1/2")
    assert step.outputs["exit-code"] == str(int(step.record.exit_code))
    # A part has no verdict about all of the suite, which only the joined record has.
    assert not (step.folder / "comment.json").exists()
    assert "\n::" not in step.stdout


# ----------------------------------------------------------------------- without measuring


@pytest.fixture
def here(origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Puts this process into a checkout of a push, in GitHub's environment."""
    checkout = origin.check_out(tmp_path / "checkout", "refs/heads/main")
    monkeypatch.chdir(checkout)
    event = tmp_path / "event.json"
    event.write_text(json.dumps(push(origin)))
    monkeypatch.setenv("GITHUB_EVENT_NAME", "push")
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(event))
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    return checkout


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, ["ci", *arguments])
    return result.exit_code, result.output


@pytest.mark.usefixtures("here")
def test_the_commit_to_compare_with_is_printed_alone(origin: Origin) -> None:
    before = git(origin.path, "rev-parse", "main~1")
    assert run("baseline") == (0, f"{before}\n")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("option", ["--suite", "--options"])
def test_an_open_quotation_mark_is_refused_in_one_sentence(option: str) -> None:
    code, output = run("gate", option, "a 'b")
    assert code == 2
    assert output == (
        f'flopline: {option} is "a \'b", which no shell could read (No closing quotation); close '
        "what was opened\n"
    )


def test_a_folder_that_cannot_be_made_is_refused_in_one_sentence(here: Path) -> None:
    code, output = run("gate", f"--folder={here / 'README' / 'out'}")
    assert (code, output.count("\n")) == (2, 1)
    assert "cannot be used (Not a directory); give another folder" in output


def test_what_the_gate_refuses_ends_with_its_sentence_and_is_an_output(
    here: Path, tmp_path: Path
) -> None:
    code, output = run("gate", "--detect", "much", f"--folder={here.parent / 'out'}")
    assert (code, output.count("\n")) == (2, 1)
    assert output.startswith("flopline: --detect is 'much'; allowed is a number")
    assert "exit-code=2\nresult=failed\n" in (tmp_path / "output").read_text()


def save(folder: Path, record: GateRecord) -> None:
    folder.mkdir(parents=True)
    storage.save(record, folder / "gate.json")


@pytest.mark.usefixtures("here")
def test_a_report_too_long_for_a_comment_is_cut_to_its_answer(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_EVENT_NAME", "pull_request")
    event = json.dumps(pull_request(origin, fork=True))
    Path(os.environ["GITHUB_EVENT_PATH"]).write_text(event)
    out = tmp_path / "out"
    out.mkdir()
    (out / "gate.md").write_text(f"**regressed**: much\n\n{70_000 * 'x'}\n")
    ci.write_comment(out, RECORD)
    assert json.loads((out / "comment.json").read_text())["page"] == "**regressed**: much"


def test_joined_records_give_annotations_outputs_and_a_comment(
    here: Path, origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_EVENT_NAME", "pull_request")
    event = json.dumps(pull_request(origin, fork=True))
    Path(os.environ["GITHUB_EVENT_PATH"]).write_text(event)
    (here / "matmul.py").touch()
    git(here, "add", "matmul.py")
    save(tmp_path / "parts" / "part-1", RECORD)
    out = tmp_path / "out"
    code, output = run("gate", f"--join={tmp_path / 'parts'}", f"--folder={out}", "--report-only")
    assert code == 0
    assert "::warning file=matmul.py,line=88,title=" in output
    assert "exit-code=1\nresult=regressed\n" in (tmp_path / "output").read_text()
    comment = json.loads((out / "comment.json").read_text())
    assert (comment["pull_request"], comment["regressed"]) == (7, 2)


@pytest.mark.usefixtures("here")
def test_report_only_does_not_hide_that_the_gate_could_not_work(tmp_path: Path) -> None:
    code, output = run(
        "gate", f"--join={tmp_path}", f"--folder={tmp_path / 'out'}", "--report-only"
    )
    assert code == 2
    assert output.startswith("flopline: there is no record to join")


def test_what_an_earlier_run_left_is_not_taken_for_this_ones(here: Path, tmp_path: Path) -> None:
    save(here / "flopline-gate", changed(result="old"))
    code, _ = run("gate", f"--join={tmp_path / 'nothing'}")
    assert code == 2
    assert list((here / "flopline-gate").iterdir()) == []


@pytest.mark.usefixtures("here")
def test_outside_of_a_pipeline_a_baseline_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_EVENT_PATH")
    for name in ("GITLAB_CI", "JENKINS_URL"):
        monkeypatch.delenv(name, raising=False)
    result = CliRunner().invoke(cli.app, ["ci", "gate"])
    assert "give the commit with --baseline" in str(result.exception)
