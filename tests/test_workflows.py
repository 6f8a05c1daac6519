"""Tests of what the workflows of CI may do, read from their text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / ".github" / "workflows"

if not FOLDER.is_dir():
    pytest.skip("the workflows lie beside the sources of a checkout", allow_module_level=True)

WORKFLOWS = {path.name: path.read_text() for path in sorted(FOLDER.glob("*.yml"))}

INSTALLS = re.compile(r"\b(pip|uv|npm|nox|conda|apt-get)\b|\*python|setup-python")


def jobs(text: str) -> dict[str, str]:
    """Returns the text of every job by its name."""
    _, *parts = re.split(r"^  (\w+):", text.partition("\njobs:\n")[2], flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_action_is_pinned_to_a_commit(name: str) -> None:
    used = re.findall(r"uses: (\S+)", WORKFLOWS[name])
    assert used
    for action in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), action


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
