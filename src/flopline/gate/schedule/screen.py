"""The screen: all benchmarks in a few short blocks, and what is unclear in further ones."""

from __future__ import annotations

import itertools
import math
import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from flopline.gate.judge import precision, verdict
from flopline.gate.judge.verdict import MOST_BLOCKS
from flopline.gate.record import BlockRequest
from flopline.gate.schedule.confirm import SHORTEST_SECONDS
from flopline.gate.schedule.suspects import find_suspects, of_direction
from flopline.progress import Progress
from flopline.units import counted

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from flopline.gate.judge.verdict import Screened
    from flopline.gate.schedule.budget import Budget
    from flopline.gate.schedule.evidence import Evidence
    from flopline.gate.schedule.plan import Plan, Round, Schedule

SPARE_BLOCKS = 2
"""At most this number of blocks is replaced in a series because a worker vanished at their end."""
SCREEN_SHARE = 0.5
"""The share of the time left that the screen may use; the rest is kept to confirm what it finds."""
BLOCKS_AGAIN = (1, 1.5, 2, 3)
"""What is unclear gets so many times the blocks of the screen again."""
QUADS_AGAIN = (2, 4, 8, 12)
"""These have so many times the quads. Of both the cheapest that will probably do is taken."""
RESERVE = 1.25
"""Noise may be so many times what it was, because a few blocks tell it only roughly."""
CHECKS = 2
"""If the built-in checks fail in the screen, they get this many times its blocks again."""


def screen(evidence: Evidence, budget: Budget, schedule: Schedule) -> Plan:
    """Measures every benchmark, and then once more those whose result is unclear.

    The first round shows what everything costs. If the remaining ones would take more than half of
    the time left, the most expensive benchmarks are left out of them, and that is told at once.

    Unclear are suspicions that more blocks may drop, and benchmarks whose noise would hide the
    slowdown that must be found. They get further blocks, which are longer: as many as their noise
    asks for, and not until they are clear, because whoever stops when the noise looks small
    believes in too little noise.
    """
    request = BlockRequest(
        "screen", evidence.benchmarks, schedule.screen_seconds, Progress("screen")
    )
    blocks = dict.fromkeys(evidence.benchmarks, schedule.blocks)
    yield from _series(request, blocks, evidence.unaffordable, 0.0, evidence, budget, schedule)
    yield from _check_again(evidence, budget, schedule)

    if evidence.controls().problems:
        return
    again = _repetitions(evidence, schedule)
    if again:
        stage = f"screen {counted(len(again), 'unclear benchmark')}"
        request = BlockRequest(
            "again",
            tuple(again),
            schedule.screen_seconds,
            Progress(stage),
            controls=False,
            quads={name: repetition.quads for name, repetition in again.items()},
        )
        evidence.quads_again = dict(request.quads)
        blocks = {name: repetition.blocks for name, repetition in again.items()}
        kept = _seconds_for_suspicions(evidence, schedule)
        yield from _series(request, blocks, {}, kept, evidence, budget, schedule)


class Repetition(NamedTuple):
    """How much a benchmark is screened again.

    Attributes:
        blocks: How many further blocks it gets.
        quads: How many quads it has in each of them.
    """

    blocks: int
    quads: int


def _repetitions(evidence: Evidence, schedule: Schedule) -> dict[str, Repetition]:
    """Returns how much more is screened of each benchmark that is unclear."""
    unclear = []
    tests = 1
    for name, screened in evidence.screened().items():
        if screened is None or name in evidence.unaffordable or math.isnan(screened.sigma):
            continue
        settings = evidence.settings.for_benchmark(name)
        tests += verdict.suspicious(screened, settings) == "slower"
        if verdict.is_unclear(screened, settings):
            unclear.append(screened)
    start = evidence.costs.start / max(1, len(unclear))
    repetitions = {}
    for screened in unclear:
        repetitions[screened.id] = _repetition(screened, tests, start, evidence, schedule)
    return repetitions


def _repetition(
    screened: Screened, tests: int, start: float, evidence: Evidence, schedule: Schedule
) -> Repetition:
    """Returns the cheapest repetition that will probably make a benchmark clear.

    If none will, because every pair of processes differs too much from the others, it gets a modest
    one, which tells whether it is as noisy as a few short blocks have said.

    Args:
        screened: What these have shown.
        tests: How many benchmarks will be tested for "slower".
        start: Seconds that the start of a block costs each of its benchmarks.
        evidence: What was measured so far.
        schedule: How much is measured.
    """
    measured = evidence.quads("screen")[screened.id]
    noise = precision.noise_of(measured, screened.clock, screened.sigma)
    before = math.ceil(statistics.median(len(quads) for quads in measured))
    settings = evidence.settings.for_benchmark(screened.id)

    choices = []
    for blocks_times, quads_times in itertools.product(BLOCKS_AGAIN, QUADS_AGAIN):
        again = Repetition(math.ceil(blocks_times * schedule.blocks), quads_times * before)
        seconds = evidence.costs.of_benchmark(screened.id, schedule.screen_seconds, again.quads)
        choices.append((again.blocks * (start + seconds), again, noise.sigma(quads_times)))
    choices.sort()
    for reserve in (RESERVE, 1.0):
        for _, again, sigma in choices:
            if precision.is_precise(reserve * sigma, again.blocks, settings, tests=tests):
                return again
    return Repetition(2 * schedule.blocks, 2 * before)


def _series(
    request: BlockRequest,
    blocks: Mapping[str, int],
    left_out: dict[str, float],
    kept: float,
    evidence: Evidence,
    budget: Budget,
    schedule: Schedule,
) -> Plan:
    """Requests the blocks of a series, and replaces one in which a worker vanished.

    What can be is measured side by side. Afterwards come the benchmarks that need all CPUs.

    Benchmarks that are lost on the way are left out. So a block that stopped others is replaced
    however often that happens, because each time there is one benchmark less that could end a
    worker. A block in which everything else was measured is replaced at most twice.

    Args:
        request: What is measured in a block.
        blocks: How many blocks each benchmark gets.
        left_out: Receives the benchmarks that there is no time for, and what they would take.
        kept: Seconds of the budget that are not for this series.
        evidence: What was measured so far.
        budget: The time that the run may take.
        schedule: How much is measured.
    """
    series = Series(request, dict(blocks))
    for lanes in sorted({schedule.lanes, 1}, reverse=True):
        spare = SPARE_BLOCKS
        while True:
            due = series.due(lanes, left_out, evidence)
            if evidence.blocks:
                available = SCREEN_SHARE * (budget.remaining() - kept)
                left_out |= _unaffordable(series, due, lanes, evidence, available)
                due = tuple(name for name in due if name not in left_out)
            if not due:
                break
            if left_out:
                stage = f"screen without {counted(len(left_out), 'benchmark')} (too slow)"
                series.request = replace(request, progress=Progress(stage))
            measured = yield series.round(due, lanes, evidence, schedule)
            for block in measured:
                outcomes = {loss.outcome for loss in block.lost.values() if loss.phase == "process"}
                if outcomes and ("stopped" in outcomes or spare):
                    # The spare ones are for a worker that ended in the last benchmark of a block.
                    spare -= "stopped" not in outcomes
                    continue
                for name in due:
                    series.missing[name] -= name in block.quads


@dataclass
class Series:
    """Blocks of the screen that are still to be measured.

    Attributes:
        request: What is measured in a block.
        missing: How many blocks each benchmark still gets.
    """

    request: BlockRequest
    missing: dict[str, int]

    def __post_init__(self) -> None:
        self.blocks = max(self.missing.values(), default=0)

    def due(self, lanes: int, left_out: Collection[str], evidence: Evidence) -> tuple[str, ...]:
        """Returns the benchmarks that have not had all of their blocks.

        Args:
            lanes: Blocks that are measured side by side. Only one at a time suits all benchmarks.
            left_out: Benchmarks that there is no time for.
            evidence: What was measured so far.
        """
        due = []
        for name, missing in self.missing.items():
            is_lost = name in evidence.losses or name in left_out
            suits = lanes == 1 or name not in evidence.wide
            if missing > 0 and suits and not is_lost:
                due.append(name)
        return tuple(due)

    def round(
        self, names: Sequence[str], lanes: int, evidence: Evidence, schedule: Schedule
    ) -> Round:
        """Returns equal requests, one per lane, that say how long the rest of the series takes.

        Args:
            names: What is measured.
            lanes: Blocks that are measured side by side, at most.
            evidence: What was measured so far.
            schedule: How much is measured.
        """
        missing = max(self.missing[name] for name in names)
        lanes = min(lanes, missing)
        progress = replace(self.request.progress, done=self.blocks - missing, of=self.blocks)
        if evidence.blocks:
            costs, seconds = evidence.costs, self.request.seconds
            left = math.ceil(missing / lanes) * costs.start
            for name in names:
                one = costs.of_benchmark(name, seconds, self.request.quads.get(name, 1))
                left += math.ceil(self.missing[name] / lanes) * one
            progress = replace(progress, seconds_left=left)
        is_alone = schedule.lanes == 1 or lanes == 1
        due = replace(self.request, benchmarks=tuple(names), progress=progress, alone=is_alone)
        return (due,) * lanes


def _unaffordable(
    series: Series,
    names: Sequence[str],
    lanes: int,
    evidence: Evidence,
    available: float,
) -> dict[str, float]:
    """Returns the benchmarks for which the screen has no time, and the seconds that each takes.

    The cheapest are measured, so that as many as possible can be decided.

    Args:
        series: The blocks that are to be measured.
        names: The benchmarks that are due.
        lanes: Blocks that are measured side by side.
        evidence: What was measured so far.
        available: Seconds that the series may take.
    """
    known = evidence.costs
    request = series.request
    costs = {}
    most = 0
    for name in names:
        rounds = math.ceil(series.missing[name] / lanes)
        quads = request.quads.get(name, 1)
        costs[name] = rounds * known.of_benchmark(name, request.seconds, quads)
        most = max(most, rounds)
    total = most * known.start
    unaffordable = {}
    for name in sorted(names, key=costs.__getitem__):
        total += costs[name]
        if total > available:
            unaffordable[name] = most * known.start + costs[name]
    return unaffordable


def _seconds_for_suspicions(evidence: Evidence, schedule: Schedule) -> float:
    """Returns how long it probably takes to confirm what looks slower so far."""
    suspects = find_suspects(evidence)
    slower = of_direction(suspects, "slower")
    if not slower:
        return 0.0
    blocks = max(min(suspects[name].expected, MOST_BLOCKS) for name in slower)
    lanes = 1 if evidence.wide.intersection(slower) else schedule.lanes
    return math.ceil(blocks / lanes) * evidence.costs.of_block(slower, SHORTEST_SECONDS)


def _check_again(evidence: Evidence, budget: Budget, schedule: Schedule) -> Plan:
    """Measures the built-in checks alone in more blocks if they failed in the screen.

    Where its memory lies makes one process of a pair a tenth slower than the other in some blocks,
    and a few blocks may have more of them on one side. What is wrong with the machine is wrong in
    all blocks. There are `CHECKS` times as many as the screen has, and no verdict depends on what
    benchmarks measured. Their number is fixed, so that the check is not repeated until it passes.
    """
    if not evidence.blocks or not evidence.controls().problems:
        return
    blocks = CHECKS * schedule.blocks
    for done in range(0, blocks, schedule.lanes):
        progress = Progress("built-in check", done, blocks)
        if budget.remaining() < evidence.costs.of_block((), schedule.screen_seconds):
            return
        request = BlockRequest(
            "check", (), schedule.screen_seconds, progress, alone=schedule.lanes == 1
        )
        yield tuple(request for _ in range(schedule.lanes))
