"""Measures commits with asv, without a question at a prompt.

There are two environments. asv's own is built once and is meant for CPU machines. The other is the
one in which this program runs (`existing`). It is meant for GPU machines, where nobody wants a
second CUDA build of torch: there the sources of each commit are put before the installed package.

In both environments the commits take turns, round by round, so that a drift of the machine affects
all of them alike.

Runs that measure into the same folder of results wait for each other: they would disturb each
other's times, and asv's environment is one for all. A run that is asked to end, by Ctrl-C or a
signal, first ends asv; what asv has measured is in its files.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from flopline import FloplineError, git
from flopline.history import asv_program, machine_file, results
from flopline.history.measuring import missing_rounds, pattern, set_aside_unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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
        CommitError: Git knows no such commit, or a range holds none.
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
    if not commits:
        raise git.CommitError(f"{' '.join(revisions)} holds no commit; there is nothing to measure")
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
        MachineError: There are results of other hardware under this machine's name, or the user's
            machine file cannot be written.
        RunnerError: No commit could be built, or asv itself failed.
        KeyboardInterrupt: The run was asked to end; asv has ended.
    """
    machine_file.write(measuring.facts, measuring.results)
    with _only_run(measuring.results, show):
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


@contextlib.contextmanager
def _only_run(results: Path, show: Show) -> Iterator[None]:
    """Waits until no other run measures into a folder; a run that dies keeps nobody waiting."""
    results.mkdir(parents=True, exist_ok=True)
    folder = os.open(results, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            show(f"flopline: another run measures into {results}; this one waits for it\n")
            fcntl.flock(folder, fcntl.LOCK_EX)
        except OSError:
            pass  # some network file systems lock no folders; runs there do not wait
        yield
    finally:
        os.close(folder)


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
            git.write_commit(measuring.repository, commit, Path(folder, commit))
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
    with tempfile.TemporaryDirectory() as folder:
        machines = Path(folder, "machines.json")
        entries = {measuring.machine: dict(measuring.facts), "version": 1}
        machines.write_text(json.dumps(entries), encoding="utf-8")
        command = [sys.executable, "-m", asv_program.__name__, str(machines), "run"]
        command += ["--show-stderr", "--machine", measuring.machine]
        command += ["--bench", pattern(measuring.cases), *arguments]
        with subprocess.Popen(
            command,
            cwd=measuring.root,
            # What asv leaves behind when it is ended lies in this folder.
            env={**os.environ, **measuring.variables(), **variables, "TMPDIR": folder},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # a signal to the group of this program is not asv's
        ) as asv:
            try:
                for line in cast("IO[str]", asv.stdout):
                    # The parameters are those of all scales, so hundreds of combinations are not
                    # run.
                    if not line.rstrip().endswith(" n/a"):
                        show(line)
                asv.wait()
            finally:
                _end(asv)
    if asv.returncode not in ASV_DONE:
        raise RunnerError(f"asv ended with code {asv.returncode}; its output is shown above")


PATIENCE = 10
"""Seconds in which asv ends its own processes and itself."""


def _end(asv: subprocess.Popen[str]) -> None:
    """Ends asv and every process that it has started, whatever happens meanwhile."""
    try:
        if asv.poll() is None:
            asv.send_signal(signal.SIGINT)
            asv.communicate(timeout=PATIENCE)
    except (KeyboardInterrupt, subprocess.TimeoutExpired, ValueError):
        pass  # asked to end for the second time, or asv did not
    finally:
        asv_program.end_session(asv.pid)
