"""The gate's own error rates on a machine and suite, from runs whose right answer is known."""

from __future__ import annotations

import math
import secrets
import statistics
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from scipy import stats

from flopline.gate.measure.pair import list_benchmarks
from flopline.gate.record import ExitCode
from flopline.gate.run import BROKEN, GateError, run
from flopline.progress import silent

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from flopline.gate.record import GateRecord, Settings
    from flopline.gate.schedule import Schedule
    from flopline.gate.sides.environment import Side
    from flopline.progress import Progress, Report

SLOWED = 5
"""Benchmarks that are slowed in a run, if the suite has so many."""


@dataclass(frozen=True)
class Rates:
    """How often the gate was wrong on this machine and suite.

    Attributes:
        runs: Runs on identical code; there were as many with known slowdowns.
        alarms: Runs on identical code that ended with a regression.
        undecided: Runs of either kind whose controls failed or that could not decide.
        slowed: Benchmarks that were slowed by exactly `detect`, over all runs.
        found: Slowed benchmarks that were called regressed.
        false: Benchmarks that were called regressed and not slowed, over all runs.
        seconds: Median length of a run on identical code.
        detect: The slowdown.
    """

    runs: int
    alarms: int
    undecided: int
    slowed: int
    found: int
    false: int
    seconds: float
    detect: float

    def text(self) -> str:
        """Returns the rates in words, with 95 % bounds (Clopper and Pearson)."""
        bound = 1.0
        if self.runs:
            bound = stats.binomtest(self.alarms, self.runs).proportion_ci().high
        interval = ""
        if self.slowed:
            share = stats.binomtest(self.found, self.slowed).proportion_ci()
            interval = f", 95 % interval {share.low:.0%} to {share.high:.0%}"
        alarms = f"{self.alarms} of {self.runs} runs with a false alarm (95 % bound {bound:.0%})"
        found = f"{self.found} of {self.slowed} found{interval}; {self.false} others flagged"
        lines = [
            f"identical code   {alarms}, median {self.seconds:.0f} s a run",
            f"slowed by {self.detect:.1%}   {found}",
            f"undecided        {self.undecided} of {2 * self.runs} runs",
        ]
        return "\n".join(lines)


@dataclass(frozen=True)
class Trial:
    """One run of the gate whose right answer is known.

    Attributes:
        record: What the run found.
        slowed: The benchmarks that are really slower.
    """

    record: GateRecord
    slowed: frozenset[str] = field(default_factory=frozenset)

    @property
    def regressed(self) -> frozenset[str]:
        """The benchmarks that the run called regressed."""
        rows = self.record.comparisons
        return frozenset(row.id for row in rows if row.verdict == "regressed")

    @property
    def found(self) -> frozenset[str]:
        """The slower benchmarks that it called regressed."""
        return self.regressed & self.slowed

    @property
    def missed(self) -> frozenset[str]:
        """The slower benchmarks that it did not call regressed."""
        return self.slowed - self.regressed

    @property
    def false(self) -> frozenset[str]:
        """The benchmarks that it called regressed although they are not slower."""
        return self.regressed - self.slowed


def try_slowdown(
    baseline: Side,
    candidate: Side,
    settings: Settings,
    slowed: Collection[str],
    slowdown: float,
    *,
    report: Report = silent,
    schedule: Schedule | None = None,
) -> Trial:
    """Runs the gate on identical code, with some benchmarks slowed.

    A benchmark is slowed by multiplying the times that the candidate reports, so that the noise is
    this machine's own and the slowdown is exact.

    Args:
        baseline: A side.
        candidate: The same code as the candidate.
        settings: What is asked of the run.
        slowed: The benchmarks that are slowed; none for a run on identical code.
        slowdown: By how much, as a fraction.
        report: Receives the progress.
        schedule: How much is measured, as in `run`.

    Raises:
        GateError: As `run`; so are the other errors.
    """
    stretched = dict.fromkeys(slowed, slowdown)
    record = run(
        baseline, candidate, settings, report=report, schedule=schedule, slowdown=stretched
    )
    return Trial(record, frozenset(slowed))


def choose_slowed(benchmarks: Sequence[str], count: int = SLOWED) -> frozenset[str]:
    """Returns some benchmarks, drawn by lot."""
    drawn = secrets.SystemRandom().sample(benchmarks, min(count, len(benchmarks)))
    return frozenset(drawn)


def self_check(
    baseline: Side,
    candidate: Side,
    settings: Settings,
    *,
    runs: int,
    report: Report = silent,
    slowed: int = SLOWED,
    schedule: Schedule | None = None,
) -> Rates:
    """Measures how often the gate is wrong.

    The gate runs `runs` times on identical code, and as often with some benchmarks slowed by
    exactly `detect`. The two kinds take turns, so that both see the same moods of the machine. Both
    sides are the baseline.

    Args:
        baseline: The code that is compared with itself.
        candidate: The other side, of which only the tree is used.
        settings: What is asked of each run.
        runs: How many runs of each kind there are.
        report: Receives the progress.
        slowed: How many benchmarks are slowed in each run, drawn by lot.
        schedule: How much each run measures, as in `run`.

    Raises:
        GateError: A run was interrupted; otherwise as `run`, and so are the other errors.
    """
    version = replace(baseline.version, name="candidate")
    twin = replace(baseline, version=version, tree=candidate.tree)
    benchmarks = list(list_benchmarks([baseline], settings.arguments)[0].items)

    def attempt(title: str, chosen: Collection[str]) -> Trial:
        def titled(progress: Progress) -> None:
            report(replace(progress, stage=f"{title}: {progress.stage}"))

        trial = try_slowdown(
            baseline, twin, settings, chosen, settings.detect, report=titled, schedule=schedule
        )
        if trial.record.result.startswith(BROKEN):
            raise GateError(f"the self-check was {trial.record.result}")
        # The rates need the verdicts. What was measured takes megabytes for every run.
        return replace(trial, record=replace(trial.record, blocks=[]))

    identical = []
    slower = []
    for number in range(1, runs + 1):
        title = f"self-check {number} of {runs}"
        identical.append(attempt(f"{title}, identical", []))
        chosen = choose_slowed(benchmarks, slowed)
        slower.append(attempt(f"{title}, {len(chosen)} slowed", chosen))
    return count_rates(identical, slower, settings.detect)


def count_rates(identical: Sequence[Trial], slower: Sequence[Trial], detect: float) -> Rates:
    """Returns the error rates of as many runs on identical code as on slowed code.

    Args:
        identical: Runs on identical code.
        slower: Runs with known slowdowns.
        detect: The size of these slowdowns.
    """
    trials = [*identical, *slower]
    seconds = [trial.record.seconds for trial in identical]
    return Rates(
        runs=len(identical),
        alarms=sum(trial.record.exit_code == ExitCode.REGRESSION for trial in identical),
        undecided=sum(trial.record.exit_code > ExitCode.REGRESSION for trial in trials),
        slowed=sum(len(trial.slowed) for trial in slower),
        found=sum(len(trial.found) for trial in slower),
        false=sum(len(trial.false) for trial in trials),
        seconds=statistics.median(seconds) if seconds else math.nan,
        detect=detect,
    )
