"""Which blocks are measured next: plans that request blocks and receive them.

A plan is a generator. It yields a round, which is one or more `BlockRequest`s that are measured
side by side, and receives the blocks that were measured for them, which its driver has already
added to the evidence. A plan starts no process and reads no clock but the budget's, so it can be
tested with made-up blocks and a made-up clock.

Every benchmark has a plan of its own. The screen measures all of them in a few short blocks, and
chooses what is confirmed. A suspect is then measured in fresh blocks until its test rejects, until
it is plain that it will not, or until it has had its share; its test holds whenever it stops. What
is obvious comes first, and improvements, which cannot change the answer, come last.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from flopline.gate.judge import controls, precision, verdict
from flopline.gate.judge.betting import expected_blocks, fewest_to_reject
from flopline.gate.judge.clock import coarse
from flopline.gate.judge.verdict import MOST_BLOCKS
from flopline.gate.record import MIN_QUADS, MIN_QUADS_SECONDS, Block, BlockRequest
from flopline.progress import Progress
from flopline.units import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from flopline.gate.judge.controls import Controls
    from flopline.gate.judge.verdict import Confirmed, Direction, Screened
    from flopline.gate.record import Loss, Quad, Settings, Stage

FINE = 0.025
"""A `detect` smaller than this takes more and longer blocks."""
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
ENOUGH_AGAIN = 3
"""What has so many of these blocks is judged by them alone."""
SHORTEST_SECONDS = 0.05
"""The fewest timed seconds per benchmark in a confirming block; they suffice for large changes."""
FEW_SUSPECTS = 10
"""Fewer suspects than this get more seconds in each block, up to `LONGER` times as many.

Starting a block takes a second, however little is measured in it.
"""
LONGER = 3.0
SPARE_FOR_IMPROVEMENTS = 6
"""An improvement gets at most so many blocks more than the fewest that can confirm it."""
SURE = 2.5
"""A change is obvious if at most so many blocks more than the fewest are expected to confirm it.

That must be so even if the blocks, which are short then, are twice as noisy as those of the screen.
"""
CHECKS = 2
"""If the built-in checks fail in the screen, they get this many times its blocks again."""

Round = tuple[BlockRequest, ...]
Plan = Generator[Round, tuple[Block, ...], None]


@dataclass(frozen=True)
class Schedule:
    """How much is measured.

    Attributes:
        blocks: Blocks of the screen.
        screen_seconds: Timed seconds per benchmark in a block of the screen, at least.
        confirm_seconds: Timed seconds per benchmark in a confirming block, at least.
        lanes: Blocks that are measured side by side, each on a CPU of its own.
    """

    blocks: int
    screen_seconds: float
    confirm_seconds: float
    lanes: int = 1

    @classmethod
    def of(cls, settings: Settings, lanes: int = 1) -> Schedule:
        """Returns the schedule for a sensitivity.

        A finer one takes more blocks, and more batches in each.
        """
        if settings.detect >= FINE:
            return cls(blocks=4, screen_seconds=0.08, confirm_seconds=0.2, lanes=lanes)
        return cls(blocks=6, screen_seconds=0.16, confirm_seconds=0.4, lanes=lanes)


class Budget:
    """The time that a run may take; it begins when the budget is made."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        """Starts the budget.

        Args:
            seconds: How long the run may take.
            clock: Returns the time in seconds since some moment.
        """
        self.seconds = seconds
        self._clock = clock
        self._begin = clock()

    def spent(self) -> float:
        """Returns the seconds since the budget began."""
        return self._clock() - self._begin

    def remaining(self, share: float = 1.0) -> float:
        """Returns the seconds until a share of the budget is used; negative after that."""
        return share * self.seconds - self.spent()


@dataclass(frozen=True)
class Costs:
    """What blocks take, by those that were measured.

    Attributes:
        starts: Seconds of every block beside its benchmarks.
        benchmarks: For each benchmark, its untimed seconds in its last block and its seconds per
            quad there.
    """

    starts: tuple[float, ...] = ()
    benchmarks: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def start(self) -> float:
        """Seconds of a block beside its benchmarks; zero before the first one."""
        return statistics.median(self.starts) if self.starts else 0.0

    def after(self, block: Block) -> Costs:
        """Returns what is known after a further block."""
        starts = self.starts
        if block.stage != "check":
            starts += (max(0.0, block.seconds - sum(block.spent.values())),)
        benchmarks = dict(self.benchmarks)
        for name, spent in block.spent.items():
            timed = 0.0
            quads = block.quads.get(name, [])
            for quad in quads:
                timed += sum(batch.wall for batch in (*quad.baseline, *quad.candidate))
            benchmarks[name] = (max(0.0, spent - timed), timed / max(1, len(quads)))
        return Costs(starts, benchmarks)

    def of_benchmark(self, name: str, seconds: float, quads: int = 1) -> float:
        """Returns the seconds of a benchmark in a block; one that is new costs what it times.

        Args:
            name: The benchmark.
            seconds: Its timed seconds.
            quads: It gets so many quads at least.
        """
        fixed, quad_seconds = self.benchmarks.get(name, (0.0, 0.0))
        few = min(MIN_QUADS * quad_seconds, MIN_QUADS_SECONDS)
        return fixed + max(seconds, few, quads * quad_seconds)

    def of_block(
        self,
        names: Collection[str],
        seconds: float,
        quads: Mapping[str, int] = MappingProxyType({}),
    ) -> float:
        """Returns how long a block of some benchmarks takes, its start included.

        Args:
            names: The benchmarks.
            seconds: Timed seconds per benchmark.
            quads: The fewest quads of those benchmarks that get more than these seconds give.
        """
        costs = [self.of_benchmark(name, seconds, quads.get(name, 1)) for name in names]
        return self.start + sum(costs)


@dataclass(frozen=True)
class Suspect:
    """A benchmark that the screen found suspicious.

    Attributes:
        screened: What the screen measured.
        direction: Whether it looked slower or faster.
        settings: What is asked of it. A second opinion by another clock asks for less.
        expected: How many fresh blocks confirm it on average.
        at_most: How many it gets at most.
        obvious: Whether the fewest blocks suffice, however short they are.
        by_second: Whether it is suspected by its second clock only.
    """

    screened: Screened
    direction: Direction
    settings: Settings
    expected: float = math.inf
    at_most: int = MOST_BLOCKS
    obvious: bool = False
    by_second: bool = False


@dataclass
class Evidence:
    """What a run has measured so far, and what is known from it.

    Attributes:
        settings: What was asked of the run.
        benchmarks: Node ids of the benchmarks that both sides have, in the order in which they run.
        blocks: Every block in the order in which it was measured.
        losses: The benchmarks that cannot be compared, and why. They are not measured again.
        wide: The benchmarks that need all CPUs for themselves, because they wait or use threads.
        unaffordable: The benchmarks that the screen had no time for, each with the seconds that its
            remaining blocks take.
        suspects: The benchmarks that are confirmed, fixed before the first confirming block.
        quads_again: How many quads those benchmarks have in a block that were screened again.
        tested: What the confirming blocks have shown so far, the slower ones first.
        warnings: What a reader must know, in words.
        costs: What blocks take.
    """

    settings: Settings
    benchmarks: tuple[str, ...]
    blocks: list[Block] = field(default_factory=list)
    losses: dict[str, Loss] = field(default_factory=dict)
    wide: set[str] = field(default_factory=set)
    unaffordable: dict[str, float] = field(default_factory=dict)
    suspects: dict[str, Suspect] = field(default_factory=dict)
    quads_again: dict[str, int] = field(default_factory=dict)
    tested: dict[str, Confirmed] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    costs: Costs = field(default_factory=Costs)

    def add(self, block: Block) -> None:
        """Keeps a block, what was lost in it, and what must be measured alone from now on.

        A benchmark is not lost if it was only stopped because another one ended its process.
        """
        self.blocks.append(block)
        self.costs = self.costs.after(block)
        self.wide.update(block.wide)
        self.wide.difference_update(block.quads.keys() - set(block.wide))
        for name, loss in block.lost.items():
            if loss.outcome != "stopped":
                self.losses[name] = loss

    def all_losses(self) -> dict[str, Loss]:
        """Returns why benchmarks have no numbers: those that are lost, and those never measured.

        The latter were stopped in every block, because others ended their process before.
        """
        measured: set[str] = set()
        stopped: dict[str, Loss] = {}
        for block in self.blocks:
            measured.update(block.quads)
            stopped |= block.lost
        losses = dict(self.losses)
        for name, loss in stopped.items():
            if name not in measured:
                losses.setdefault(name, loss)
        return losses

    def quads(self, stage: Stage, *, parallel: bool = False) -> dict[str, list[list[Quad]]]:
        """Returns the quads of each block of a stage, per benchmark that was measured and not lost.

        Blocks without quads of a benchmark are left out.

        Args:
            stage: The stage.
            parallel: Whether they are those on all CPUs, for the second clock.
        """
        measured: dict[str, list[list[Quad]]] = {}
        for block in self.blocks:
            for name, quads in (block.parallel if parallel else block.quads).items():
                if name in self.losses:
                    continue
                blocks = measured.setdefault(name, [])
                if block.stage == stage and quads:
                    blocks.append(quads)
        return measured

    def screening(self, *, parallel: bool = False) -> dict[str, list[list[Quad]]]:
        """Returns the blocks by which the screen judges each benchmark.

        What was screened again is judged by its further blocks alone: they are longer, and the
        first ones chose it because they looked noisy.

        Args:
            parallel: Whether the quads are those on all CPUs, for the second clock.
        """
        blocks = self.quads("screen", parallel=parallel)
        for name, again in self.quads("again", parallel=parallel).items():
            blocks[name] = again if len(again) >= ENOUGH_AGAIN else blocks[name] + again
        return blocks

    def screened(self) -> dict[str, Screened | None]:
        """Returns what the screen knows about every benchmark that is not lost."""
        return verdict.summarise_screen(self.screening(), self.settings)

    def controls(self) -> Controls:
        """Returns what the built-in checks measured so far."""
        canary = [block.canary for block in self.blocks if block.canary]
        control = [block.control for block in self.blocks if block.control]
        return controls.check(canary, control, self.settings)


# The screen


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
    settings = evidence.settings
    unclear = []
    tests = 1
    for name, screened in evidence.screened().items():
        if screened is None or name in evidence.unaffordable or math.isnan(screened.sigma):
            continue
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

    choices = []
    for blocks_times, quads_times in itertools.product(BLOCKS_AGAIN, QUADS_AGAIN):
        again = Repetition(math.ceil(blocks_times * schedule.blocks), quads_times * before)
        seconds = evidence.costs.of_benchmark(screened.id, schedule.screen_seconds, again.quads)
        choices.append((again.blocks * (start + seconds), again, noise.sigma(quads_times)))
    choices.sort()
    for reserve in (RESERVE, 1.0):
        for _, again, sigma in choices:
            if precision.is_precise(reserve * sigma, again.blocks, evidence.settings, tests=tests):
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
    slower = _of_direction(suspects, "slower")
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


# Confirming


def confirm(evidence: Evidence, budget: Budget, schedule: Schedule) -> Plan:
    """Measures what looked suspicious in fresh blocks: first the slower ones, then the faster.

    If the built-in checks failed, nothing is measured.
    """
    if evidence.controls().problems:
        return
    evidence.suspects = find_suspects(evidence)
    yield from _confirm("slower", evidence, budget, schedule)
    yield from _confirm("faster", evidence, budget, schedule)


def _confirm(direction: Direction, evidence: Evidence, budget: Budget, schedule: Schedule) -> Plan:
    """Measures the suspects of one direction until every one is decided or the budget ends."""
    while True:
        evidence.tested |= look(direction, evidence)
        waiting = _undecided(direction, evidence)
        if not waiting:
            return
        group, seconds, quads = _next_group(waiting, evidence, budget, schedule)
        if not group:
            evidence.warnings.append(_not_confirmed(direction, waiting, evidence, budget, schedule))
            return
        is_alone = schedule.lanes == 1 or group[0] in evidence.wide
        lanes = 1 if is_alone else schedule.lanes
        done = min(_blocks_of(name, evidence) for name in group)
        blocks = max(math.ceil(_blocks_left(name, evidence)) for name in group)
        left = math.ceil(blocks / lanes) * evidence.costs.of_block(group, seconds, quads)
        stage = f"confirm {counted(len(group), direction + ' benchmark')}"
        progress = Progress(stage, done, done + blocks, seconds_left=left)
        request = BlockRequest(
            "confirm", group, seconds, progress, controls=False, alone=is_alone, quads=quads
        )
        yield tuple(request for _ in range(lanes))


def _undecided(direction: Direction, evidence: Evidence) -> list[str]:
    """Returns the suspects of a direction that more blocks could decide, the surest first."""
    names = []
    for name, suspect in evidence.suspects.items():
        if suspect.direction != direction or name in evidence.losses:
            continue
        tested = evidence.tested.get(name)
        left = suspect.at_most - _blocks_of(name, evidence)
        if left > 0 and not (tested and _is_settled(tested, left, suspect.settings)):
            names.append(name)
    return sorted(names, key=lambda name: evidence.suspects[name].expected)


def _is_settled(tested: Confirmed, left: int, settings: Settings) -> bool:
    """Returns whether more blocks would change nothing about a suspect."""
    if tested.rejected or verdict.is_futile(tested, settings):
        return True
    return verdict.is_hopeless(tested, left, settings)


class Group(NamedTuple):
    """Suspects that are measured together.

    Attributes:
        names: The suspects; none if there is no time for any.
        seconds: Timed seconds of each in a block.
        quads: The fewest quads of those that need more than that.
    """

    names: tuple[str, ...]
    seconds: float
    quads: Mapping[str, int] = MappingProxyType({})


def _next_group(
    waiting: Sequence[str], evidence: Evidence, budget: Budget, schedule: Schedule
) -> Group:
    """Returns the suspects of the next round; none if none is affordable.

    What is obvious comes before the rest, in short blocks. Then come all others that can be
    measured side by side, and at last those that need all CPUs. What was screened again has as many
    quads as it had there. If the budget cannot finish all of a group, the blocks get shorter, and
    then the group gets smaller.
    """
    suspects = evidence.suspects
    names = list(waiting)
    obvious = [name for name in names if suspects[name].obvious]
    longest = _confirming_seconds(len(names), schedule)
    quads = {name: evidence.quads_again[name] for name in names if name in evidence.quads_again}
    if obvious:
        names, longest, quads = obvious, SHORTEST_SECONDS, {}
    together = [name for name in names if name not in evidence.wide]
    names = together or names
    choices = (
        Group(tuple(names), longest, quads),
        Group(tuple(names), longest),
        Group(tuple(names), longest / 2),
    )
    for group in choices:
        if _seconds_to_decide(group, evidence, schedule) <= budget.remaining():
            return group
    for fewer in range(len(names), 0, -1):
        group = Group(tuple(names[:fewer]), SHORTEST_SECONDS)
        if _seconds_to_decide(group, evidence, schedule) <= budget.remaining():
            return group
    # What is expected may be exceeded by luck, so the last one is tried as long as a block fits.
    group = Group((names[0],), SHORTEST_SECONDS)
    enough = _fewest_left(names[0], evidence) * evidence.costs.of_block(group.names, group.seconds)
    lanes = 1 if names[0] in evidence.wide else schedule.lanes
    return group if enough / lanes <= budget.remaining() else Group((), SHORTEST_SECONDS)


def _seconds_to_decide(group: Group, evidence: Evidence, schedule: Schedule) -> float:
    """Returns how long it probably takes to decide all suspects of a group."""
    lanes = 1 if group.names[0] in evidence.wide else schedule.lanes
    blocks = max(_blocks_left(name, evidence) for name in group.names)
    block = evidence.costs.of_block(group.names, group.seconds, group.quads)
    return math.ceil(blocks / lanes) * block


def _blocks_left(name: str, evidence: Evidence) -> float:
    """Returns how many more blocks probably decide a suspect, at least one."""
    suspect = evidence.suspects[name]
    blocks = min(suspect.expected, suspect.at_most)
    return max(1.0, blocks - _blocks_of(name, evidence))


def _fewest_left(name: str, evidence: Evidence) -> int:
    """Returns how many more blocks a rejection takes at least, if none was measured before."""
    suspect = evidence.suspects[name]
    together = _of_direction(evidence.suspects, suspect.direction)
    fewest = fewest_to_reject(len(together), suspect.settings)
    return max(1, fewest - _blocks_of(name, evidence))


def _blocks_of(name: str, evidence: Evidence) -> int:
    """Returns in how many confirming blocks a benchmark was measured."""
    return sum(block.stage == "confirm" and name in block.quads for block in evidence.blocks)


def find_suspects(evidence: Evidence) -> dict[str, Suspect]:
    """Returns what the screen found suspicious, with the number of blocks that confirm each.

    A benchmark that is not slower by its clock may be by its second one, for example because it no
    longer works in parallel. It is then tested by that.
    """
    settings = evidence.settings
    quads = evidence.screening()
    parallel = evidence.screening(parallel=True)
    suspects: dict[str, Suspect] = {}
    for name, screened in evidence.screened().items():
        if screened is None:
            continue
        direction = verdict.suspicious(screened, settings)
        if direction is not None:
            suspects[name] = Suspect(screened, direction, settings)
    less = coarse(settings)
    for name, screened in verdict.second_opinions(quads, parallel, settings).items():
        already = name in suspects and suspects[name].direction == "slower"
        if screened is None or already:
            continue
        if verdict.suspicious(screened, less) == "slower":
            suspects[name] = Suspect(screened, "slower", less, by_second=True)
    for name, suspect in suspects.items():
        screened, its = suspect.screened, suspect.settings
        tests = len(_of_direction(suspects, suspect.direction))
        fewest = fewest_to_reject(tests, its)
        certain = verdict.certain_change(screened)
        change = max(math.log1p(its.detect), certain)
        in_short_blocks = expected_blocks(certain, 2 * screened.sigma, tests, its)
        suspects[name] = replace(
            suspect,
            expected=expected_blocks(change, screened.sigma, tests, its),
            at_most=MOST_BLOCKS,
            obvious=in_short_blocks <= fewest + SURE,
        )
        if suspect.direction == "faster":
            most = fewest + SPARE_FOR_IMPROVEMENTS
            suspects[name] = replace(suspects[name], at_most=most)
    return suspects


def _of_direction(suspects: dict[str, Suspect], direction: Direction) -> list[str]:
    """Returns the suspects that are tested together for one direction."""
    return [name for name, suspect in suspects.items() if suspect.direction == direction]


def _confirming_seconds(suspects: int, schedule: Schedule) -> float:
    """Returns the timed seconds per benchmark in a confirming block."""
    factor = max(1.0, FEW_SUSPECTS / suspects)
    return schedule.confirm_seconds * min(LONGER, factor)


def _not_confirmed(
    direction: Direction,
    waiting: Sequence[str],
    evidence: Evidence,
    budget: Budget,
    schedule: Schedule,
) -> str:
    """Returns a warning that the budget does not suffice, with one that does."""
    group = Group(tuple(waiting), SHORTEST_SECONDS)
    needed = budget.spent() + _seconds_to_decide(group, evidence, schedule)
    advised = math.ceil(needed / 10) * 10
    benchmarks = counted(
        len(waiting), f"benchmark that looked {direction}", f"benchmarks that looked {direction}"
    )
    return (
        f"the budget of {budget.seconds:.0f} s ended before {benchmarks} could be confirmed; "
        f"that takes about {needed:.0f} s in all: give --budget {advised}s"
    )


def look(direction: Direction, evidence: Evidence) -> dict[str, Confirmed]:
    """Tests the suspects of a direction on all their confirming blocks.

    Those that have none yet, or were lost, count in Holm's correction as if they had no evidence,
    so that the error rate covers all suspects. A suspect's clock is the one that its screen chose.
    """
    by_clock = (evidence.quads("confirm"), evidence.quads("confirm", parallel=True))
    samples = {}
    for name in _of_direction(evidence.suspects, direction):
        screened = evidence.suspects[name].screened
        measured = by_clock[evidence.suspects[name].by_second]
        values = verdict.block_values(measured.get(name, []), screened.clock)
        if direction == "faster":
            values = [-value for value in values]
        samples[name] = verdict.Sample(values, screened.sigma, evidence.suspects[name].settings)
    return verdict.confirm_changes(samples, evidence.settings)


def tests_for_slower(evidence: Evidence) -> int:
    """Returns how many benchmarks are tested for "slower"."""
    return len(_of_direction(evidence.suspects, "slower"))


def blocks_still_needed(name: str, evidence: Evidence) -> int:
    """Returns how many confirming blocks a suspect asks for, those that it has had included."""
    blocks = _blocks_of(name, evidence)
    if name not in _undecided(evidence.suspects[name].direction, evidence):
        return blocks
    return blocks + math.ceil(_blocks_left(name, evidence))
