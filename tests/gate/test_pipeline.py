"""What a pipeline is compared with, read from what GitHub, GitLab and Jenkins say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from flopline.gate.pipeline import Pipeline, PipelineError, find_baseline, read_event, read_pipeline
from tests.support.checkouts import commit, git, state, world, write
from tests.support.pipelines import Origin, make_origin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ONE, TWO, NONE = "1" * 40, "2" * 40, "0" * 40


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    home = tmp_path_factory.mktemp("origin")
    with world(home):
        yield make_origin(home)


def event(folder: Path, **facts: Any) -> Path:  # noqa: ANN401  # any fact
    file = folder / "event.json"
    file.write_text(json.dumps(facts))
    return file


# --------------------------------------------------------------------------- what is said


def test_a_pull_request_names_its_target_its_commit_and_its_number(tmp_path: Path) -> None:
    pull_request = {"number": 7, "base": {"sha": ONE}, "head": {"sha": TWO}}
    file = event(tmp_path, pull_request=pull_request)
    assert read_event("pull_request", file) == Pipeline(ONE, TWO, 7)


def push(folder: Path, **facts: Any) -> Path:  # noqa: ANN401  # any fact
    usual = {"before": ONE, "after": TWO, "ref": "refs/heads/work", "forced": False}
    return event(folder, **(usual | facts), repository={"default_branch": "main"})


def test_a_push_is_compared_with_the_commit_before_it(tmp_path: Path) -> None:
    assert read_event("push", push(tmp_path)) == Pipeline(ONE, TWO)


@pytest.mark.parametrize("facts", [{"before": NONE}, {"forced": True}])
def test_a_new_or_forced_branch_is_compared_with_the_default_one(
    facts: dict[str, object], tmp_path: Path
) -> None:
    assert read_event("push", push(tmp_path, **facts)) == Pipeline("refs/heads/main", TWO)


def test_a_default_branch_made_anew_has_nothing_to_compare_with(tmp_path: Path) -> None:
    file = push(tmp_path, forced=True, ref="refs/heads/main")
    with pytest.raises(PipelineError, match=r"made main anew.*give the commit with --baseline"):
        read_event("push", file)


def test_a_merge_group_is_compared_with_its_base(tmp_path: Path) -> None:
    file = event(tmp_path, merge_group={"base_sha": ONE})
    assert read_event("merge_group", file) == Pipeline(ONE)


@pytest.mark.parametrize("name", ["schedule", "workflow_dispatch", ""])
def test_an_event_that_names_no_commit_is_refused_with_advice(name: str, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="names no commit to compare with; give the commit"):
        read_event(name, event(tmp_path))


@pytest.mark.parametrize(
    "content",
    [
        *("", "[]", "{}", "null", '{"pull_request": 1}', '{"pull_request": {"number": 1}}'),
        '{"pull_request": {"base": {"sha": "--all"}, "head": {"sha": "x"}, "number": 1}}',
    ],
)
def test_a_file_that_is_no_event_is_refused_in_one_sentence(content: str, tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    file.write_text(content)
    with pytest.raises(PipelineError, match="does not describe an event 'pull_request'"):
        read_event("pull_request", file)
    with pytest.raises(PipelineError, match="No such file"):
        read_event("pull_request", tmp_path / "missing")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"GITLAB_CI": "true", "CI_MERGE_REQUEST_DIFF_BASE_SHA": ONE}, Pipeline(ONE)),
        ({"GITLAB_CI": "true", "CI_COMMIT_BEFORE_SHA": ONE, "CI_COMMIT_SHA": TWO}, (ONE, TWO)),
        (
            {"GITLAB_CI": "1", "CI_COMMIT_BEFORE_SHA": NONE, "CI_DEFAULT_BRANCH": "main"},
            Pipeline("refs/heads/main"),
        ),
        ({"JENKINS_URL": "x", "CHANGE_TARGET": "main"}, Pipeline("refs/heads/main")),
        ({"JENKINS_URL": "x", "GIT_PREVIOUS_SUCCESSFUL_COMMIT": ONE}, Pipeline(ONE)),
        ({"JENKINS_URL": "x", "GIT_PREVIOUS_COMMIT": ONE, "GIT_COMMIT": TWO}, (ONE, TWO)),
    ],
)
def test_gitlab_and_jenkins_name_the_commit_in_their_variables(
    variables: dict[str, str], expected: Pipeline | tuple[str, str]
) -> None:
    whole = expected if isinstance(expected, Pipeline) else Pipeline(*expected)
    assert read_pipeline(variables) == whole


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({}, "this is no pipeline"),
        ({"GITLAB_CI": "true", "CI_COMMIT_BRANCH": "m", "CI_DEFAULT_BRANCH": "m"}, "of GitLab's"),
        ({"JENKINS_URL": "x"}, "of Jenkins'"),
    ],
)
def test_without_a_commit_to_compare_with_advice_is_given(
    variables: dict[str, str], reason: str
) -> None:
    with pytest.raises(PipelineError, match=f"{reason}.*--baseline"):
        read_pipeline(variables)


# ------------------------------------------------------------------------- what is fetched


def test_a_shallow_merge_of_a_pull_request_is_compared_with_its_target(
    origin: Origin, tmp_path: Path
) -> None:
    """The target has moved on since GitHub wrote the event; the merge contains where it is now."""
    checkout = origin.clone(tmp_path / "c", "merge")
    pipeline = Pipeline(origin.fork_point, origin.work, 7)
    assert find_baseline(checkout, pipeline) == origin.main
    # The gate asks git for the same, and must get the same answer.
    assert git(checkout, "merge-base", origin.main, "HEAD") == origin.main


def test_every_commit_of_a_pull_request_is_fetched_because_it_may_accept(
    origin: Origin, tmp_path: Path
) -> None:
    checkout = origin.clone(tmp_path / "c", "merge")
    base = find_baseline(checkout, Pipeline(origin.fork_point, origin.work, 7))
    assert git(checkout, "log", "--format=%s", f"{base}..HEAD").splitlines() == [
        "Merge work into main",
        "work ends",
        "work begins",
    ]


def test_without_an_answer_from_origin_the_known_commits_must_do(
    origin: Origin, tmp_path: Path
) -> None:
    checkout = origin.clone(tmp_path / "c", "merge", depth=2)
    git(checkout, "remote", "set-url", "origin", str(tmp_path / "gone"))
    assert find_baseline(checkout, Pipeline(origin.main, origin.work, 7)) == origin.main


def test_a_shallow_branch_is_compared_with_where_it_left_its_target(
    origin: Origin, tmp_path: Path
) -> None:
    checkout = origin.clone(tmp_path / "c", "work")
    pipeline = Pipeline(origin.main, origin.work, 7)
    assert find_baseline(checkout, pipeline) == origin.fork_point


def test_a_new_branch_is_compared_with_where_it_left_the_default_one(
    origin: Origin, tmp_path: Path
) -> None:
    checkout = origin.clone(tmp_path / "c", "work")
    assert find_baseline(checkout, Pipeline("refs/heads/main", origin.work)) == origin.fork_point


def test_a_push_to_a_shallow_clone_fetches_the_commit_before(
    origin: Origin, tmp_path: Path
) -> None:
    checkout = origin.clone(tmp_path / "c", "main")
    before = git(origin.path, "rev-parse", "main~1")
    assert find_baseline(checkout, Pipeline(before, origin.main)) == before


def test_a_checkout_with_nothing_of_the_pull_request_is_refused(
    origin: Origin, tmp_path: Path
) -> None:
    """With `pull_request_target` the target would be compared with itself, and would pass."""
    checkout = origin.clone(tmp_path / "c", "main")
    with pytest.raises(PipelineError, match=r"has nothing of pull request 7.*`pull_request`"):
        find_baseline(checkout, Pipeline(origin.main, origin.work, 7))


def test_a_whole_clone_stays_whole_and_untouched(origin: Origin, tmp_path: Path) -> None:
    checkout = origin.clone(tmp_path / "c", "work", depth=None)
    before = state(checkout)
    assert find_baseline(checkout, Pipeline(origin.main, origin.work)) == origin.fork_point
    assert state(checkout) == before


def test_fetching_changes_no_branch_tag_or_file(origin: Origin, tmp_path: Path) -> None:
    checkout = origin.clone(tmp_path / "c", "work")
    before = git(checkout, "for-each-ref"), git(checkout, "status", "--porcelain")
    find_baseline(checkout, Pipeline(origin.main, origin.work))
    assert (git(checkout, "for-each-ref"), git(checkout, "status", "--porcelain")) == before


def test_a_commit_that_cannot_be_fetched_is_told_with_advice(
    origin: Origin, tmp_path: Path
) -> None:
    checkout = origin.clone(tmp_path / "c", "work")
    with pytest.raises(PipelineError, match=r"could not be fetched from origin .*fetch-depth: 0"):
        find_baseline(checkout, Pipeline(ONE, origin.work))
    with pytest.raises(PipelineError, match="could not be fetched from origin"):
        find_baseline(checkout, Pipeline("refs/heads/no/such", origin.work))


def test_without_an_answer_from_origin_a_branch_is_where_the_clone_had_it(
    origin: Origin, tmp_path: Path
) -> None:
    checkout = origin.clone(tmp_path / "c", "work", depth=None)
    git(checkout, "remote", "set-url", "origin", str(tmp_path / "gone"))
    assert find_baseline(checkout, Pipeline("refs/heads/main", origin.work)) == origin.fork_point


def test_histories_without_a_common_commit_are_told(origin: Origin, tmp_path: Path) -> None:
    checkout = origin.clone(tmp_path / "c", "work")
    git(checkout, "checkout", "--quiet", "--orphan", "other")
    write(checkout, {"x": "y"})
    commit(checkout, "unrelated")
    with pytest.raises(PipelineError, match="have no commit in common; give the commit"):
        find_baseline(checkout, Pipeline(origin.main))
