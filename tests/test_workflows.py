"""Tests of what the workflows and actions of CI may do, read from their text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".github" / "workflows"

if not FOLDER.is_dir():
    pytest.skip("the workflows lie beside the sources of a checkout", allow_module_level=True)

WORKFLOWS = {path.name: path.read_text() for path in sorted(FOLDER.glob("*.yml"))}

ACTIONS = {name: (ROOT / name).read_text() for name in ("action.yml", "comment/action.yml")}
OWN = re.compile(r"\$/\w*")
"""An action of this repository, at the commit that the workflow itself has."""
INSTALLS = re.compile(r"\b(pip|uv|npm|nox|conda|apt-get)\b|\*python|setup-python")


def jobs(text: str) -> dict[str, str]:
    """Returns the text of every job by its name."""
    _, *parts = re.split(r"^  (\w+):", text.partition("\njobs:\n")[2], flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize("name", [*WORKFLOWS, *ACTIONS])
def test_every_action_is_pinned_to_a_commit(name: str) -> None:
    used = re.findall(r"uses: (\S+)", (WORKFLOWS | ACTIONS)[name])
    assert used
    for action in used:
        pinned = re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action)
        assert pinned or OWN.fullmatch(action), action


@pytest.mark.parametrize("name", WORKFLOWS)
def test_no_checkout_keeps_its_token(name: str) -> None:
    text = WORKFLOWS[name]
    assert text.count("actions/checkout@") == text.count("persist-credentials: false")


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_job_that_may_write_installs_nothing(name: str) -> None:
    text = WORKFLOWS[name]
    assert "\npermissions:\n  contents: read\n" in text
    assert jobs(text)
    for job, steps in jobs(text).items():
        if ": write" in steps:
            assert not INSTALLS.search(steps), job


def test_the_job_that_writes_comments_runs_nothing_but_its_own_action() -> None:
    (steps,) = jobs(WORKFLOWS["gate-comment.yml"]).values()
    assert set(re.findall(r"([\w-]+): write", steps)) == {"pull-requests"}
    assert re.findall(r"- (uses|run): (.*)", steps) == [("uses", "$/comment")]
    assert not INSTALLS.search(ACTIONS["comment/action.yml"])


@pytest.mark.parametrize("name", [*WORKFLOWS, *ACTIONS])
def test_no_script_has_an_expression_in_it(name: str) -> None:
    """Somebody's branch could be named like a command; a variable's value is never one."""
    text = (WORKFLOWS | ACTIONS)[name]
    for script in re.findall(r"run: (.*(?:\n {8,}[^-\s].*)*)", text):
        code = script.partition("env:")[0]
        assert "${{" not in code, script


def test_the_gate_of_this_repository_is_its_own_action() -> None:
    assert "uses: $/\n" in WORKFLOWS["gate.yml"]


def test_pages_and_results_are_written_by_jobs_of_their_own() -> None:
    rights = {}
    for job, steps in jobs(WORKFLOWS["history.yml"]).items():
        rights[job] = set(re.findall(r"([\w-]+): write", steps))
    assert rights == {
        "cpu": set(),
        "gpu": set(),
        "build": set(),
        "keep": {"contents"},
        "publish": {"pages", "id-token"},
    }
