"""Searches a branch for slowdowns that its newest commits still have."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asv import step_detect

from flopline.gate.record import ExitCode
from flopline.history.assessment import threshold_of
from flopline.history.series import along
from flopline.sheet import Column, Sheet
from flopline.units import duration, gflops, percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flopline.history.assessment import Thresholds
    from flopline.history.record import AsvCase, Conditions, History, Measurement
    from flopline.history.series import MeasuredCommit


@dataclass(frozen=True, kw_only=True)
class Step:
    """A lasting slowdown between two commits of a branch.

    Attributes:
        case: What became slower.
        machine: Where it became slower.
        conditions: The environment and the machine's facts.
        last_fast: The last commit at the old speed.
        first_slow: The first commit at the new speed.
        old_seconds: Seconds of a call before the step.
        new_seconds: Seconds of a call after the step.
        flops: Floating-point operations of a call; None if unknown.
    """

    case: AsvCase
    machine: str
    conditions: Conditions
    last_fast: str
    first_slow: str
    old_seconds: float
    new_seconds: float
    flops: int | None

    @property
    def ratio(self) -> float:
        """Seconds after the step over seconds before it."""
        return self.new_seconds / self.old_seconds

    def as_json(self) -> dict[str, object]:
        """Returns the step for programs."""
        old_gflops = new_gflops = None
        if self.flops is not None:
            old_gflops = gflops(self.flops, self.old_seconds)
            new_gflops = gflops(self.flops, self.new_seconds)
        return {
            "case": str(self.case),
            "machine": self.machine,
            "environment": dict(self.conditions),
            "after": self.last_fast,
            "at": self.first_slow,
            "base_seconds": self.old_seconds,
            "head_seconds": self.new_seconds,
            "base_gflops": old_gflops,
            "head_gflops": new_gflops,
        }

    def cells(self) -> tuple[str, ...]:
        """Returns the step as a row of the table for people."""
        return (
            str(self.case),
            self.machine,
            self.last_fast[:8],
            self.first_slow[:8],
            duration(self.old_seconds),
            duration(self.new_seconds),
            percent(self.ratio - 1),
        )


HEADS = (
    Column("case", "left"),
    Column("machine", "left"),
    Column("last fast"),
    Column("first slow"),
    Column("old time"),
    Column("new time"),
    Column("change"),
)
"""The columns of the table whose rows are `Step.cells`."""


@dataclass(frozen=True)
class RegressionReport:
    """The lasting slowdowns of a branch.

    Attributes:
        steps: The slowdowns, the newest first.
        searched: The commits of the branch that have results.
        elsewhere: Commits that have results and are not on the branch, sorted.
        newest_unreadable: True if a file of the newest commit with results could not be read.
    """

    steps: Sequence[Step]
    searched: Sequence[str]
    elsewhere: Sequence[str]
    newest_unreadable: bool

    @property
    def exit_code(self) -> ExitCode:
        """The command's exit code.

        A regression comes first. Without one, the command could not do its work if nothing was
        searched or if the newest results could not be read.
        """
        if self.steps:
            return ExitCode.REGRESSION
        if self.newest_unreadable or not self.searched:
            return ExitCode.COULD_NOT_WORK
        return ExitCode.NO_REGRESSION

    def as_json(self) -> dict[str, object]:
        """Returns the report for programs."""
        return {
            "exit_code": int(self.exit_code),
            "commits": len(self.searched),
            "regressions": [step.as_json() for step in self.steps],
        }

    def sheet(self) -> Sheet:
        """Returns the slowdowns as a table."""
        return Sheet("", HEADS, tuple(step.cells() for step in self.steps))


def regressions(
    history: History, branch: Sequence[str], thresholds: Thresholds
) -> RegressionReport:
    """Finds the slowdowns that the newest results of a branch still have.

    They are found by asv's step detection on the seconds of every case, so that this report and
    the regressions on asv's pages agree.

    Args:
        history: The stored results.
        branch: The commits of the branch, the oldest first.
        thresholds: The slowdowns that count.
    """
    measured = {run.commit for run in history.runs}
    searched = [commit for commit in branch if commit in measured]
    position = {commit: index for index, commit in enumerate(branch)}
    steps = _steps(history, branch, thresholds)
    steps.sort(key=lambda step: (-position[step.first_slow], -step.ratio))
    return RegressionReport(
        steps=steps,
        searched=searched,
        elsewhere=sorted(measured - set(branch)),
        newest_unreadable=_newest_is_unreadable(history, branch, measured),
    )


def _newest_is_unreadable(history: History, branch: Sequence[str], measured: set[str]) -> bool:
    for commit in reversed(branch):
        if any(file.is_of(commit) for file in history.unreadable):
            return True
        if commit in measured:
            return False
    return False


def _steps(history: History, branch: Sequence[str], thresholds: Thresholds) -> list[Step]:
    steps = []
    for series in along(history, branch):
        for case in series.cases():
            benchmark = history.benchmarks.get(case.benchmark)
            if benchmark is None:
                continue  # the suite no longer has this benchmark
            points = series.points(case, benchmark.version)
            for jump in _jumps(points, threshold_of(case, thresholds)):
                step = Step(
                    case=case,
                    machine=series.machine,
                    conditions=series.conditions,
                    last_fast=points[jump.last_fast].commit,
                    first_slow=points[jump.first_slow].commit,
                    old_seconds=jump.old_seconds,
                    new_seconds=jump.new_seconds,
                    flops=history.flops(case),
                )
                steps.append(step)
    return steps


@dataclass(frozen=True)
class _Jump:
    """A lasting rise of the seconds between two points that follow each other, by their index."""

    last_fast: int
    first_slow: int
    old_seconds: float
    new_seconds: float


def _jumps(points: Sequence[MeasuredCommit], threshold: float) -> list[_Jump]:
    seconds = [point.measurement.seconds for point in points]
    weights = [_weight(point.measurement) for point in points]
    levels = step_detect.detect_steps(seconds, weights)
    _latest, _best, jumps = step_detect.detect_regressions(levels, threshold)
    return [
        _Jump(int(before), int(after), float(old), float(new))
        for before, after, old, new in jumps or ()
    ]


def _weight(measurement: Measurement) -> float | None:
    """Returns the inverse of the interval's half-width, by which asv weights a point.

    Without a finite interval it is None, for which asv takes the median of all weights.
    """
    low, high = measurement.interval
    width = high - low
    # Doubles of the size of the time cannot be closer to each other than this.
    smallest = measurement.seconds * sys.float_info.epsilon / 2
    return 2 / width if smallest < width < math.inf else None
