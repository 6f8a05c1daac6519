"""No configuration and no results, whatever they hold, show a traceback or are waited for."""

from __future__ import annotations

import copy
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.history.support.command import history
from tests.history.support.toy import NAME, Project, speeds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LEAVES: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(None, True, 0, -1, 10**400, 1e308, -1e308, 5e-324, float("nan"), float("inf")),
        *("", "[/b]", "\x1b[2J", "a\0b", "\ud800", "(", "-x", "../..", "HEAD", {}, []),
    ]
)
VALUES = st.one_of(
    LEAVES,
    st.lists(LEAVES, max_size=3),
    st.dictionaries(st.sampled_from(["", "(", "[/b]", "version", "env_nobuild"]), LEAVES),
    st.sampled_from([[["a"] * 100] * 9, [[]], "x" * 10_000]),
)


def places(value: Any, *path: Any) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401  # any JSON
    """Yields the way to every value inside a JSON value, and to itself."""
    yield path
    inner: Any = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    for key, member in inner:
        yield from places(member, *path, key)


def replaced(content: Any, path: tuple[Any, ...], value: object) -> object:  # noqa: ANN401  # any JSON
    """Returns a JSON value with another value at one place."""
    if not path:
        return value
    changed = copy.deepcopy(content)
    inside = changed
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = value
    return changed


@pytest.fixture(scope="module")
def measured(template: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Three measured commits; every example puts back what it has changed."""
    project = template.copy(tmp_path_factory.mktemp("hostile") / "toy")
    for commit in project.commits:
        project.record(commit, speeds())
    return project


def demand_an_answer(project: Project, path: Path, content: object) -> None:
    """Runs the commands on a changed file and puts the file back."""
    kept = path.read_bytes()
    path.write_text(json.dumps(content))
    try:
        for arguments in (("compare", "HEAD~1", "HEAD"), ("regressions",)):
            done = history(project.root, *arguments)
            assert done.code in (0, 1, 2, 3)
            assert "Traceback" not in done.stderr
            assert done.code == 0 or done.stderr or done.stdout
    finally:
        path.write_bytes(kept)


ANY_PROJECT = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("name", ["asv.conf.json", ".asv/results/benchmarks.json", "newest"])
@ANY_PROJECT
@given(choice=st.integers(0, 10**6), value=VALUES)
def test_a_value_of_any_kind_at_any_place_is_answered(
    measured: Project, name: str, choice: int, value: object
) -> None:
    path = measured.root / name
    if name == "newest":
        (path,) = (measured.results / "counter").glob(f"{measured.commits[-1][:8]}-*")
    text = path.read_text()
    content = json.loads(text[text.index("{") :])
    options = list(places(content))
    demand_an_answer(measured, path, replaced(content, options[choice % len(options)], value))


BROKEN = {"empty": b"", "cut off": b'{"version": 2, "re', "latin": b'{"\xff": 1}'}
BROKEN["nested"] = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize("content", BROKEN.values(), ids=list(BROKEN))
def test_a_broken_results_file_is_named_and_the_others_are_used(
    project: Project, content: bytes
) -> None:
    paths = [project.record(commit, speeds()) for commit in project.commits]
    paths[0].write_bytes(content)
    assert history(project.root, "compare", "HEAD~1", "HEAD").code == 0
    done = history(project.root, "compare", "HEAD~2", "HEAD")
    assert done.code == 2
    assert f"left out: {paths[0]}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("content", BROKEN.values(), ids=list(BROKEN))
def test_a_broken_configuration_is_refused_by_name(project: Project, content: bytes) -> None:
    (project.root / "asv.conf.json").write_bytes(content)
    done = history(project.root, "regressions")
    assert done.code == 2
    assert f"{project.root / 'asv.conf.json'} cannot be read" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_pipe_among_the_results_is_not_waited_for(project: Project) -> None:
    path = project.record(project.commits[0], speeds())
    path.unlink()
    os.mkfifo(path)
    done = history(project.root, "regressions")
    assert done.code == 2
    assert f"{path}: this is not a file" in done.stderr


def test_a_time_near_the_largest_number_is_left_out(project: Project) -> None:
    paths = [project.record(commit, speeds()) for commit in project.commits]
    content = json.loads(paths[0].read_text())
    content["results"][NAME][0][0] = 1e308
    paths[0].write_text(json.dumps(content))
    done = history(project.root, "regressions")
    assert done.code == 0
    assert f"{NAME} took 1e+308 seconds" in done.stderr


def test_markup_in_names_is_shown_as_it_is(project: Project) -> None:
    for commit in project.commits:
        path = project.record(commit, speeds(), machine="[bold]m[dim]")
        path.write_text(path.read_text().replace("'slowed'", "'[/b]'"))
    done = history(project.root, "compare", "HEAD~1", "HEAD")
    assert done.code == 0
    assert "[/b]" in done.stdout
    assert "[bold]m[dim]" in done.stdout
