"""The gate's own error rates on a machine and suite: run on identical code, and with known slowdowns."""

from __future__ import annotations

import math
import secrets
import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scipy import stats

from flopline.gate.measure.pair import list_benchmarks
from flopline.gate.run import BROKEN, GateError, Report, run

if TYPE_CHECKING:
    from flopline.gate.record import GateRecord, Settings
    from flopline.gate.sides.environment import Side


@dataclass(frozen=True)
class Rates:
    """What this machine and suite really do: the gate run on identical code, and with known slowdowns.

    Attributes:
        runs: Runs of each kind.
        alarms: Runs on identical code that ended with a regression.
        undecided: Runs of either kind whose controls failed or that could not decide.
        slowed: Benchmarks slowed by exactly `detect`, over all runs.
        found: Of these, the ones called regressed.
        false: Benchmarks called regressed that were not slowed, over all runs.
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
        """The rates in words, with 95 % bounds (Clopper and Pearson)."""
        bound = stats.binomtest(self.alarms, self.runs).proportion_ci().high if self.runs else 1.0
        share = stats.binomtest(self.found, self.slowed).proportion_ci() if self.slowed else None
        power = f", 95 % interval {share.low:.0%} to {share.high:.0%}" if share else ""
        return (
            f"identical code   {self.alarms} of {self.runs} runs with a false alarm (95 % bound {bound:.0%}), "
            f"median {self.seconds:.0f} s a run\n"
            f"slowed by {self.detect:.1%}   {self.found} of {self.slowed} found{power}; {self.false} others flagged\n"
            f"undecided        {self.undecided} of {2 * self.runs} runs"
        )


def self_check(
    baseline: Side,
    candidate: Side,
    settings: Settings,
    *,
    runs: int,
    report: Report = lambda _: None,
    slowed: int = 5,
) -> Rates:
    """Runs the gate `runs` times on identical code, and as often with some benchmarks slowed by exactly `detect`.

    Both sides are the baseline. A benchmark is slowed by multiplying the times that the candidate's slot reports, so
    the noise is this machine's own and the slowdown is exact.

    Raises:
        GateError: As `run`; so are the others.
    """
    twin = replace(
        baseline, version=replace(baseline.version, name="candidate"), tree=candidate.tree
    )
    names = list(list_benchmarks([baseline], settings.arguments)[0].items)
    equal, unequal, false, found, chosen = [], [], 0, 0, 0
    for number in range(runs):
        one = run(
            baseline,
            twin,
            settings,
            report=_titled(report, f"self-check {number + 1} of {runs}, identical"),
        )
        _demand_whole(one)
        equal.append(one)
        slow = secrets.SystemRandom().sample(names, min(slowed, len(names)))
        title = f"self-check {number + 1} of {runs}, {len(slow)} slowed"
        two = run(
            baseline,
            twin,
            settings,
            report=_titled(report, title),
            slowdown=dict.fromkeys(slow, settings.detect),
        )
        _demand_whole(two)
        unequal.append(two)
        red = {row.id for row in two.comparisons if row.verdict == "regressed"}
        chosen, found, false = (
            chosen + len(slow),
            found + len(red & set(slow)),
            false + len(red - set(slow)),
        )
    return Rates(
        runs=runs,
        alarms=sum(one.exit_code == 1 for one in equal),
        undecided=sum(one.exit_code > 1 for one in (*equal, *unequal)),
        slowed=chosen,
        found=found,
        false=false + sum(row.verdict == "regressed" for one in equal for row in one.comparisons),
        seconds=statistics.median(one.seconds for one in equal) if equal else math.nan,
        detect=settings.detect,
    )


def _demand_whole(record: GateRecord) -> None:
    if record.result.startswith(BROKEN):
        raise GateError(f"the self-check was {record.result}")


def _titled(report: Report, title: str) -> Report:
    return lambda where: report(replace(where, stage=f"{title}: {where.stage}"))
