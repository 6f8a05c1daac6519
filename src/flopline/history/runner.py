"""Measures commits with asv, without a question at a prompt.

There are two environments. asv's own is built once and is meant for CPU machines. The other is the
one in which this program runs (`existing`). It is meant for GPU machines, where nobody wants a
second CUDA build of torch: there the sources of each commit are put before the installed package.

In both environments the commits take turns, round by round, so that a drift of the machine affects
all of them alike.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from flopline import FloplineError, git
from flopline.history import machine_file, results
from flopline.history.measuring import missing_rounds, pattern, set_aside_unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flopline.history.measuring import Measuring
    from flopline.history.record import AsvCase

Show = Callable[[str], None]
"""A function that shows a line of asv's output; the line has its line end."""

ASV_DONE = (0, 2)
"""The exit codes of asv after its work; 2 means that a benchmark failed, which asv has recorded."""


def choose(root: Path, revisions: Sequence[str], newest: int) -> list[str]:
    """Returns the commits to measure, each once.

    Args:
        root: The checkout.
        revisions: Ranges, tags, revisions, or the word `tags` for the commits of all tags.
        newest: How many of the newest commits are chosen if there are no revisions.

    Raises:
        CommitError: Git knows no such commit.
    """
    if not revisions:
        branch = git.branch(root)
        branch.reverse()
        return branch[:newest]
    commits: list[str] = []
    for revision in revisions:
        if revision == "tags":
            commits += git.tags(root).values()
        elif ".." in revision:
            commits += git.between(root, revision)
        else:
            commits.append(git.resolve(root, revision))
    return list(dict.fromkeys(commits))


@dataclass(frozen=True)
class FailedCase:
    """A case that failed at a commit, which asv has recorded.

    Attributes:
        commit: The full hash.
        case: The case.
    """

    commit: str
    case: AsvCase

    def __str__(self) -> str:
        return f"{self.commit[:8]}: {self.case}"


class RunnerError(FloplineError, RuntimeError):
    """The commits could not be measured."""


def measure(measuring: Measuring, commits: Sequence[str], show: Show) -> list[FailedCase]:
    """Measures those rounds of the commits that have no results yet.

    What was measured before an interruption stays.

    Args:
        measuring: How to measure.
        commits: The commits, as full hashes.
        show: Is called with every line that asv prints.

    Returns:
        The cases that failed at one of the commits, now or before.

    Raises:
        MachineError: There are results of other hardware under this machine's name.
        RunnerError: No commit could be built, or asv itself failed.
    """
    machine_file.write(measuring.facts, measuring.results)
    missing = {}
    for commit in commits:
        set_aside_unreadable(measuring, commit)
        rounds = missing_rounds(measuring, commit)
        if rounds:
            missing[commit] = rounds
    if missing and measuring.existing:
        _measure_here(measuring, missing, show)
    elif missing:
        _measure_in_asvs_environment(measuring, list(missing), show)
    return _failed_cases(measuring, commits)


def _failed_cases(measuring: Measuring, commits: Sequence[str]) -> list[FailedCase]:
    failed = []
    for run in results.read(measuring.results).runs:
        if run.commit in commits and run.machine == measuring.machine:
            cases = [case for case, measurement in run.measurements.items() if measurement is None]
            failed += [FailedCase(run.commit, case) for case in cases]
    return failed


def _measure_in_asvs_environment(measuring: Measuring, commits: list[str], show: Show) -> None:
    arguments = ["-E", f"virtualenv:{sys.version_info.major}.{sys.version_info.minor}"]
    arguments.append("--record-samples")
    if len(commits) > 1:
        arguments.append("--interleave-rounds")
    with tempfile.TemporaryDirectory() as folder:
        listing = Path(folder, "commits")
        listing.write_text("\n".join(commits) + "\n", encoding="ascii")
        _run_asv(measuring, [*arguments, f"HASHFILE:{listing}"], {}, show)


def _measure_here(measuring: Measuring, missing: Mapping[str, int], show: Show) -> None:
    """Measures in this program's environment, every second turn in reverse order.

    asv refuses to interleave rounds there, so each turn of a commit is a run of asv of one round.
    """
    with tempfile.TemporaryDirectory() as folder:
        for commit in missing:
            git.write_commit(measuring.root, commit, Path(folder, commit))
            if not Path(folder, commit, "src").is_dir():
                raise RunnerError(
                    f"commit {commit[:8]} has no folder src, so nothing of it can be measured"
                )
        order = list(missing)
        for turn in range(measuring.rounds):
            order.reverse()
            for commit in order:
                if turn >= missing[commit]:
                    continue
                arguments = ["-E", f"existing:{sys.executable}", "--set-commit-hash", commit]
                arguments += ["-a", "rounds=1", "--append-samples"]
                sources = {"ASV_PYTHONPATH": str(Path(folder, commit, "src"))}
                _run_asv(measuring, arguments, sources, show)


def _run_asv(
    measuring: Measuring, arguments: Sequence[str], variables: Mapping[str, str], show: Show
) -> None:
    command = [sys.executable, "-m", "asv", "run", "--show-stderr"]
    command += ["--machine", measuring.machine, "--bench", pattern(measuring.cases), *arguments]
    with subprocess.Popen(
        command,
        cwd=measuring.root,
        env={**os.environ, **measuring.variables(), **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as asv:
        for line in cast("IO[str]", asv.stdout):
            # The parameters are those of all scales, so hundreds of combinations are not run.
            if not line.rstrip().endswith(" n/a"):
                show(line)
    if asv.returncode not in ASV_DONE:
        raise RunnerError(f"asv ended with code {asv.returncode}; its output is shown above")
