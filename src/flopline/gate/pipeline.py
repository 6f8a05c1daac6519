"""What a CI pipeline says about itself, and the commit with which its checkout is compared.

GitHub describes a pipeline in a file, GitLab and Jenkins do in environment variables. A pipeline
often has only the newest commit of the history. What is missing is then fetched from `origin`;
branches, tags and files of the checkout stay as they are.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flopline import FloplineError, git

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
NO_COMMIT = re.compile(r"0+")
"""What stands for the commit before the first one of a branch."""
DEEPENINGS = (1, 32, 256, 2048)
"""By how many commits a shallow history is deepened, in turn, before all of it is fetched."""
WITHOUT_PASSWORD = {"GIT_TERMINAL_PROMPT": "0"}
"""Git ends with an error where it would ask for a name or a password."""
ELSEWHERE = "give the commit with --baseline (in the action: the input `baseline`)"


class PipelineError(FloplineError, ValueError):
    """A pipeline does not say what its checkout is to be compared with, or that cannot be had."""


@dataclass(frozen=True)
class Pipeline:
    """What a pipeline says about itself.

    Attributes:
        base: What to compare with: a commit's full hash, or the full name of a branch of `origin`.
        head: The full hash of the commit that was pushed; empty if it is not known.
        pull_request: The number of the pull request; None if the pipeline belongs to none.
    """

    base: str
    head: str = ""
    pull_request: int | None = None


def read_pipeline(variables: Mapping[str, str]) -> Pipeline:
    """Returns what the pipeline says in whose environment this program runs.

    Args:
        variables: The environment.

    Raises:
        PipelineError: It is no pipeline of GitHub's, GitLab's or Jenkins', or it names no commit to
            compare with.
    """
    if path := variables.get("GITHUB_EVENT_PATH"):
        return read_event(variables.get("GITHUB_EVENT_NAME", ""), Path(path))
    if variables.get("GITLAB_CI"):
        return _gitlab(variables)
    if variables.get("JENKINS_URL"):
        return _jenkins(variables)
    raise PipelineError(
        "this is no pipeline of GitHub's, GitLab's or Jenkins': none of GITHUB_EVENT_PATH, "
        f"GITLAB_CI and JENKINS_URL is set; {ELSEWHERE}"
    )


def read_event(name: str, path: Path) -> Pipeline:
    """Returns what an event of GitHub's says.

    Args:
        name: The name of the event, for example `pull_request`.
        path: The file with its description.

    Raises:
        PipelineError: The file is none of GitHub's, or the event names no commit to compare with.
    """
    try:
        event = json.loads(path.read_bytes())
        if name in ("pull_request", "pull_request_target"):
            pull_request = event["pull_request"]
            base, head = _commit(pull_request["base"]["sha"]), _commit(pull_request["head"]["sha"])
            return Pipeline(base, head, int(pull_request["number"]))
        if name == "merge_group":
            return Pipeline(_commit(event["merge_group"]["base_sha"]))
        if name == "push":
            return _push(event)
    except (OSError, ValueError, LookupError, TypeError) as error:
        if isinstance(error, PipelineError):
            raise
        raise PipelineError(
            f"{path} does not describe an event {name!r} of GitHub's ({error!r}); {ELSEWHERE}"
        ) from error
    raise PipelineError(f"an event {name!r} names no commit to compare with; {ELSEWHERE}")


def _push(event: dict[str, object]) -> Pipeline:
    """Returns what a push says: the commit before it, or the default branch for a new branch.

    What was there before a forced push is often in no branch any more.
    """
    before, branch = str(event["before"]), str(event["ref"])
    repository = event["repository"]
    if not isinstance(repository, dict):
        raise TypeError("`repository` is no object")
    default = f"refs/heads/{repository['default_branch']}"
    if NO_COMMIT.fullmatch(before) or event.get("forced"):
        if branch == default:
            raise PipelineError(
                f"this push made {branch.removeprefix('refs/heads/')} anew, so that there is no "
                f"earlier commit to compare with; {ELSEWHERE}"
            )
        return Pipeline(default, _commit(event["after"]))
    return Pipeline(_commit(before), _commit(event["after"]))


def _gitlab(variables: Mapping[str, str]) -> Pipeline:
    """Returns what GitLab says: the merge request's base, the commit before, or the main branch."""
    head = variables.get("CI_COMMIT_SHA", "")
    for name in ("CI_MERGE_REQUEST_DIFF_BASE_SHA", "CI_COMMIT_BEFORE_SHA"):
        commit = variables.get(name, "")
        if commit and not NO_COMMIT.fullmatch(commit):
            return Pipeline(_commit_in(name, commit), head)
    default = variables.get("CI_DEFAULT_BRANCH", "")
    if default and default != variables.get("CI_COMMIT_BRANCH"):
        return Pipeline(f"refs/heads/{default}", head)
    raise PipelineError(f"this pipeline of GitLab's names no commit to compare with; {ELSEWHERE}")


def _jenkins(variables: Mapping[str, str]) -> Pipeline:
    """Returns what Jenkins says: the branch that a change goes to, or the last good commit."""
    head = variables.get("GIT_COMMIT", "")
    if target := variables.get("CHANGE_TARGET"):
        return Pipeline(f"refs/heads/{target}", head)
    for name in ("GIT_PREVIOUS_SUCCESSFUL_COMMIT", "GIT_PREVIOUS_COMMIT"):
        if commit := variables.get(name):
            return Pipeline(_commit_in(name, commit), head)
    raise PipelineError(f"this build of Jenkins' names no commit to compare with; {ELSEWHERE}")


def _commit(value: object) -> str:
    """Returns a full hash as it is.

    Raises:
        ValueError: It is something else.
    """
    if not isinstance(value, str) or not COMMIT.fullmatch(value):
        raise ValueError(f"{value!r} is no commit")
    return value


def _commit_in(name: str, value: str) -> str:
    """Returns the full hash that a variable of a pipeline has.

    Raises:
        PipelineError: It has something else.
    """
    if not COMMIT.fullmatch(value):
        raise PipelineError(f"{name} is {value!r}, which is no commit; {ELSEWHERE}")
    return value


def find_baseline(checkout: Path, pipeline: Pipeline) -> str:
    """Returns the full hash of the commit with which a pipeline's checkout is compared.

    That is the newest commit that both the checkout and what it is compared with contain. GitHub
    checks out a pull request merged into its target, whose newest commit may be younger than the
    one that the event names. Then that one is taken.

    Args:
        checkout: A folder of the checkout.
        pipeline: What the pipeline says.

    Raises:
        PipelineError: The two have no commit in common, it cannot be fetched, or nothing of the
            pull request was checked out.
        GitError: The folder lies in no checkout.
    """
    head = git.run(checkout, "rev-parse", "HEAD")
    base = pipeline.base
    # A shallow clone hides the parents of its last commits, but they stand in the commit itself.
    header = git.run(checkout, "cat-file", "commit", head).partition("\n\n")[0]
    parents = re.findall(r"^parent (\w+)$", header, flags=re.MULTILINE)
    if pipeline.head and parents[1:] == [pipeline.head]:
        base = parents[0]
    if not COMMIT.fullmatch(base):
        base = _fetch_branch(checkout, base)
    if not _knows(checkout, base):
        # Only a shallow clone is given a depth; a whole one would become shallow.
        _fetch(checkout, *(["--depth=1"] if _is_shallow(checkout) else []), commits=[base])
    common = _common_commit(checkout, base, head)
    # With `pull_request_target` GitHub checks out the target, which would be compared with itself.
    if common == head and pipeline.pull_request is not None and pipeline.head != head:
        raise PipelineError(
            f"the checkout ({head[:7]}) has nothing of pull request {pipeline.pull_request}; let "
            "the workflow run on `pull_request` (not on `pull_request_target`), and check out what "
            "it names"
        )
    return common


def _common_commit(checkout: Path, base: str, head: str) -> str:
    """Returns the newest commit that two commits have in common, and fetches what is missing.

    The commits since then are fetched, too, because one of them may accept a slowdown. Where they
    cannot be had, those that are known must do.

    Raises:
        PipelineError: They have none in common, or it cannot be fetched.
    """
    common = git.ask(checkout, "merge-base", base, head)
    for depth in (*(f"--deepen={count}" for count in DEEPENINGS), "--unshallow"):
        if not _is_shallow(checkout) or (common and _knows_all(checkout, common, head)):
            break
        try:
            _fetch(checkout, depth, commits=[base, head])
        except PipelineError:
            if common:
                break
            # What a pipeline itself has merged is not in origin.
            _fetch(checkout, depth, commits=[base])
        common = git.ask(checkout, "merge-base", base, head)
    if common:
        return common
    raise PipelineError(
        f"the checkout ({head[:7]}) and {base[:7]}, with which its pipeline compares it, have no "
        f"commit in common; {ELSEWHERE}"
    )


def _knows_all(checkout: Path, base: str, head: str) -> bool:
    """Returns whether no commit between the two is one whose parents a shallow clone hides."""
    file = checkout / git.run(checkout, "rev-parse", "--git-path", "shallow")
    between = git.run(checkout, "rev-list", f"{base}..{head}").split()
    return set(file.read_text("ascii").split()).isdisjoint(between)


def _fetch_branch(checkout: Path, branch: str) -> str:
    """Returns the newest commit of a branch of `origin`.

    Without a password for it, that is the one that was there when the checkout was made.
    """
    name = branch.removeprefix("refs/heads/")
    try:
        listing = _ask_origin(checkout, "ls-remote", "--exit-code", "origin", branch)
    except PipelineError:
        known = git.ask(checkout, "rev-parse", "--verify", "--quiet", f"refs/remotes/origin/{name}")
        if not known:
            raise
        return known
    # Git also lists branches of other names that end with all of this one's.
    for line in listing.splitlines():
        commit, _, found = line.partition("\t")
        if found == branch:
            return commit
    raise PipelineError(f"origin has no branch {name!r}; {ELSEWHERE}")


def _knows(checkout: Path, commit: str) -> bool:
    return git.ask(checkout, "cat-file", "-t", commit) == "commit"


def _is_shallow(checkout: Path) -> bool:
    return git.run(checkout, "rev-parse", "--is-shallow-repository") == "true"


def _fetch(checkout: Path, *options: str, commits: Sequence[str]) -> None:
    quietly = ("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head")
    _ask_origin(checkout, *quietly, *options, "origin", *commits)


def _ask_origin(checkout: Path, *question: str) -> str:
    """Returns what a git command prints that asks `origin` for something.

    Raises:
        PipelineError: It failed.
    """
    try:
        return git.run(checkout, *git.START_NOTHING, *question, environment=WITHOUT_PASSWORD)
    except git.GitError as error:
        lines = error.output.splitlines() or ["no answer"]
        reason = next((line for line in lines if line.startswith("fatal: ")), lines[-1])
        raise PipelineError(
            f"the commit to compare with could not be fetched from origin ({reason}); check the "
            "whole history out (`fetch-depth: 0` in GitHub Actions, GIT_DEPTH: 0 in GitLab), or "
            "let the checkout keep its token"
        ) from error
