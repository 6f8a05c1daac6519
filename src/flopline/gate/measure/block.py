"""One block: a fresh pair of workers measures benchmarks, batch by batch in turns on one CPU.

Whatever a side does (fail, skip, crash, hang) costs that benchmark its numbers, and never costs the
run its answer. Nothing here looks at how long anything took, except to choose how many rounds make
a batch, how many quads are taken, and on which CPUs.
"""

from __future__ import annotations

import math
import os
import random
import secrets
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from flopline.gate.measure.exchange import BenchmarkEndedError, Exchange
from flopline.gate.measure.handle import WorkerError, WorkerGoneError
from flopline.gate.measure.pair import pair, reporting_order
from flopline.gate.measure.parents import draw_layout
from flopline.gate.measure.patience import Patience
from flopline.gate.measure.worker.flopline_worker.protocol import (
    Abort,
    BatchSize,
    CallSum,
    CollectGarbage,
    GarbageCollected,
    Order,
    SizeBatch,
    Stop,
    SumCalls,
)
from flopline.gate.record import (
    BATCH_TIMES,
    BLIND,
    MIN_QUADS,
    MIN_QUADS_SECONDS,
    Batch,
    Block,
    Loss,
    Quad,
    SideName,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from flopline.gate.measure.handle import WorkerHandle
    from flopline.gate.measure.lanes import Lane
    from flopline.gate.measure.pair import Collected
    from flopline.gate.measure.parent import ParentProcess
    from flopline.gate.measure.parents import Parents
    from flopline.gate.measure.worker.flopline_worker.protocol import LoadedFile, NotPassed
    from flopline.gate.record import BlockRequest, Settings
    from flopline.gate.sides.environment import Side

    Measure = Callable[["BlockMeasurement", Sequence[str], Callable[[str], None]], None]

BATCH_SECONDS = 2.5e-4
"""How long a batch should last.

That is long compared with reading the clocks and with the 20 us that handing over a turn takes. It
is not longer because a shared machine changes its speed every few milliseconds: the noise of a quad
then hardly depends on its length, and four times as many quads halve the noise of their median.
"""
SHORTEST_BATCH = 1e-5
"""Seconds that a batch lasts at least, whatever its clocks say; a single call may be shorter."""
MOST_ATTEMPTS = 5
"""Attempts at one test that are timed, where a plugin runs it again and again."""
MESSAGE_SECONDS = 2e-3
"""What sending a command to both workers and receiving their answers takes at most, as a rule."""
FEW_ROUNDS = 200
"""Where a test's author allows no more rounds than this, none are spent on sizing a batch."""
PROBE_CALLS = 50
"""Calls of the worker's own function in the batches that tell how long one call takes."""
MIN_CONTROL_CALLS = 100
"""Calls of that function in a batch at least, so that `canary_calls` is precise."""
CONTROL_SECONDS = 0.08
"""Timed seconds of the canary, and of the control, at most; both sides together."""
SLOW_ROUND = 0.05
"""A round of so many seconds is slow: no batch is run only to warm up."""
COUNTED_SECONDS = 0.02
"""The calls of a call that takes longer are not counted: that makes it two to ten times as long."""
FEW_WIDE = 3
"""So many benchmarks that need all CPUs are no accident."""
CPU_TICKS = Path("/proc/stat")
"""What the CPUs have done since boot; some containers hide it."""
SIDES: tuple[SideName, ...] = ("baseline", "candidate")


def run_block(  # noqa: PLR0913  # what is measured, how and by whom
    baseline: Side,
    candidate: Side,
    request: BlockRequest,
    settings: Settings,
    *,
    cpus: Sequence[int],
    slowdown: Mapping[str, float] = MappingProxyType({}),
    report: Callable[[str], None] = lambda _benchmark: None,
    patience: Patience | None = None,
    measure: Measure | None = None,
    loaded: Callable[[SideName, list[LoadedFile]], None] | None = None,
    lane: Lane | None = None,
    parents: Parents | None = None,
) -> Block:
    """Measures one block.

    Several blocks may be measured at the same time, each in a thread of its own.

    Args:
        baseline: The version that is compared with.
        candidate: The version that is judged.
        request: What is measured.
        settings: The arguments for pytest, and the slowdown that the canary shows.
        cpus: The CPUs that may be used.
        slowdown: Per benchmark, the fraction by which the candidate's readings are lengthened, to
            test the gate.
        report: A function that is called with each benchmark's node id before it is timed, and
            with who is silent for long.
        patience: How long the workers may be silent; by default that of a run without a budget.
        measure: Measures the benchmarks; by default both sides in turns.
        loaded: A function that receives, after everything was timed, the code that each side has
            loaded from its own folders and from the user's checkout; None if nobody wants to know.
        lane: Where the block is measured beside other blocks. It has one CPU then, and benchmarks
            that need all of them are only named. None if no other block is measured.
        parents: From which the workers are forked, where that is possible. By default they are
            started as new processes.

    Raises:
        WorkerError: A side could not be started or does not collect.
        SuiteError: The arguments switch benchmarks off.
    """
    # The coins must be independent of everything else, because they make the test exact.
    coins = random.SystemRandom()
    candidate_first = coins.choice([True, False])
    cpu = coins.choice(list(cpus)) if lane is None else lane.cpu
    slots = [candidate, baseline] if candidate_first else [baseline, candidate]
    begin, ticks = time.monotonic(), _cpu_ticks()
    watched = replace(patience or Patience(), tell=report)
    parent = None if parents is None else parents.current()
    hash_seed, padding = draw_layout() if parent is None else (parent.hash_seed, parent.padding)
    workers = pair(
        slots,
        settings.arguments,
        hash_seed=hash_seed,
        padding=padding,
        first_slot=0 if lane is None else lane.number * len(slots),
        heap_seed=secrets.randbelow(2**32),
        patience=watched,
        parent=parent,
    )
    with workers as (handles, (first, second)):
        measurement = BlockMeasurement(
            Exchange(handles), coins, cpu, cpus, request.seconds, settings.detect, slowdown
        )
        measurement.fewest_quads = request.quads
        measurement.imports = parents is not None
        if loaded is not None:
            measurement.watched = {side.name: side for side in slots}
        measurement.is_alone = lane is None
        measurement.counts_calls = request.stage == "screen"
        if request.controls:
            measurement.measure_controls()
        measurement.lost = _missing(request, slots, (first, second))
        on_both = [name for name in request.benchmarks if name not in measurement.lost]
        (measure or BlockMeasurement.measure_benchmarks)(measurement, on_both, report)
        # If one worker is gone, the other one would wait for a command, and we for its end.
        if not measurement.gone:
            for handle in handles:
                handle.finish()
        for handle in handles:
            if loaded is not None and handle.loaded is not None:
                loaded(handle.side, handle.loaded)
        if parents is not None:
            _tell_parents(parents, parent, handles)
    return Block(
        stage=request.stage,
        hash_seed=hash_seed,
        padding=padding,
        cpu=cpu,
        candidate_first=candidate_first,
        randomised=first.randomised or second.randomised,
        seconds=time.monotonic() - begin,
        steal=_stolen_share(ticks, _cpu_ticks()),
        load=_load(),
        quads=measurement.quads,
        wide=measurement.wide,
        canary=measurement.canary,
        control=measurement.control,
        lost=measurement.lost,
        spent=measurement.spent,
        forked=all(handle.forked for handle in handles),
        parallel=measurement.parallel,
        calls=measurement.calls,
    )


def _tell_parents(
    parents: Parents, parent: ParentProcess | None, handles: Sequence[WorkerHandle]
) -> None:
    """Tells parents whether one has failed, and what both workers have imported."""
    if parent is not None and parent.failure is not None:
        parents.failed(parent.failure, parent)
    parents.learn([handle.imported for handle in handles])


def _missing(
    request: BlockRequest, slots: Sequence[Side], collected: Sequence[Collected]
) -> dict[str, Loss]:
    """Returns the requested benchmarks that a side did not collect, and on which side.

    Args:
        request: What should be measured.
        slots: The sides in the order of their slots.
        collected: What they collected, in the same order.
    """
    missing = {}
    for name in request.benchmarks:
        sides: list[SideName] = []
        for side, its in zip(slots, collected, strict=True):
            if name not in its.items:
                sides.append(side.name)
        if sides:
            missing[name] = Loss(_only(sides), "collect", "missing", "it is not collected there")
    return missing


@dataclass(frozen=True)
class BatchPlan:
    """How a benchmark is divided into batches.

    Attributes:
        rounds: Rounds in a batch, equal on both sides.
        remaining: Rounds that each side may still run; infinite where there is no limit.
        seconds: How long a batch lasts, with its setups and teardowns.
        slow: Whether a single round seems to take long.
        off_thread: Whether the last batches that were tried spent time outside of their thread.
        elsewhere: Whether they did a part of their work in other threads or child processes.
    """

    rounds: int
    remaining: float
    seconds: float = BATCH_SECONDS
    slow: bool = False
    off_thread: bool = False
    elsewhere: bool = False

    @property
    def may_warm_up(self) -> bool:
        """Whether a quad is left after another batch."""
        return self.remaining > 2 * self.rounds

    def quads(self, seconds: float, fewest: int) -> int:
        """Returns how many quads are taken in this time; 0 if a whole one is not allowed."""
        allowed = self.remaining / (2 * self.rounds)
        return quads_to_take(seconds, self.seconds, allowed, fewest)


@dataclass
class BlockMeasurement:
    """Two workers that are being measured, and what has been measured so far.

    Turns are planned by slot, because a coin decides which side is in which slot. Batches are
    sorted by side only at the very end.

    Attributes:
        exchange: The conversation with both workers.
        coins: The source of all random choices.
        cpu: The CPU on which batches are timed.
        cpus: All CPUs that may be used.
        seconds: Planned timed seconds per benchmark, both sides together.
        detect: How much more work the canary does, a fraction.
        slowdown: Per benchmark, the fraction by which the candidate's readings are lengthened.
        fewest_quads: So many quads at least are taken of a benchmark, whatever they last.
        quads: The quads of each benchmark that was measured.
        lost: Why each other benchmark was not.
        wide: Benchmarks that were timed on all CPUs.
        canary: Quads of the worker's own function with more work on the candidate's side.
        control: Quads of the worker's own function with equal work.
        spent: Seconds that each benchmark has cost, from its setup to its teardown.
        parallel: Further quads of some benchmarks, on all CPUs.
        gone: Whether a worker ended or fell silent.
        watched: The sides that report in the end which code they have loaded.
        is_alone: Whether no other block is measured at the same time.
        imports: Whether all report in the end what they have imported.
        counts_calls: Whether the calls of every benchmark that was timed are counted.
        calls: How many calls the benchmarks make that were counted, on the baseline's side and on
            the candidate's.
    """

    exchange: Exchange
    coins: random.Random
    cpu: int
    cpus: Sequence[int]
    seconds: float
    detect: float
    slowdown: Mapping[str, float]
    fewest_quads: Mapping[str, int] = field(default_factory=dict)
    quads: dict[str, list[Quad]] = field(default_factory=dict)
    lost: dict[str, Loss] = field(default_factory=dict)
    wide: list[str] = field(default_factory=list)
    canary: list[Quad] = field(default_factory=list)
    control: list[Quad] = field(default_factory=list)
    spent: dict[str, float] = field(default_factory=dict)
    parallel: dict[str, list[Quad]] = field(default_factory=dict)
    gone: bool = False
    watched: dict[SideName, Side] = field(default_factory=dict)
    is_alone: bool = True
    imports: bool = False
    counts_calls: bool = False
    calls: dict[str, tuple[int, int]] = field(default_factory=dict)

    def measure_controls(self) -> None:
        """Times the worker's own function, with more work on the candidate's side and with equal.

        Raises:
            WorkerError: A worker ended or fell silent.
        """
        try:
            self.exchange.pin([self.cpu])
            probes = self._time_controls([0, 1, 0, 1], [PROBE_CALLS, PROBE_CALLS])
            shortest = min(batch.wall for batch in probes)
            call_seconds = max(shortest, SHORTEST_BATCH) / PROBE_CALLS
            filling = max(MIN_CONTROL_CALLS, round(BATCH_SECONDS / call_seconds))
            calls, more = canary_calls(filling, self.detect)
            quads = control_quads(self.seconds, calls * call_seconds)
            self.canary = self._control(calls, calls + more, quads)
            self.control = self._control(calls, calls, quads)
        except WorkerGoneError as error:
            where = error.side or "both sides"
            raise WorkerError(
                f"{where}: the worker {error.outcome} before any benchmark: {error.text}"
            ) from error

    def _control(self, calls: int, candidate_calls: int, quads: int) -> list[Quad]:
        """Returns quads that claim `calls` on both sides, whatever the candidate really did.

        What the candidate did in addition then reads as an exact slowdown.
        """
        order = draw_order(self.coins, quads)
        calls_of = {"baseline": calls, "candidate": candidate_calls}
        rounds = [calls_of[handle.side] for handle in self.exchange.handles]
        batches = self._time_controls(order, rounds)
        claimed = [replace(batch, calls=calls) for batch in batches]
        return self._in_quads(order, claimed, size=4)

    def _time_controls(self, order: Sequence[int], rounds: Sequence[int]) -> list[Batch]:
        batches = self.exchange.take_turns(order, rounds)
        self.exchange.raise_if_gone()
        return batches

    def measure_benchmarks(self, benchmarks: Sequence[str], report: Callable[[str], None]) -> None:
        """Measures the benchmarks in this order.

        If a worker ends or falls silent, the remaining benchmarks are lost for this block.
        """
        try:
            self.exchange.spread(self.cpus, SIDES)
            for handle in self.exchange.handles:
                handle.send(self.order(handle, benchmarks))
            for name in benchmarks:
                report(name)
                begin = time.monotonic()
                self._measure_benchmark(name)
                self.spent[name] = time.monotonic() - begin
                if self._is_in_vain():
                    done = {*self.quads, *self.lost, *self.wide}
                    self.wide += [other for other in benchmarks if other not in done]
                    self.gone = True  # nobody waits for the rest of the sessions
                    return
        except WorkerGoneError as error:
            self.gone = True
            done = self.quads.keys() | self.lost.keys()
            self.lost |= lost_with_worker([name for name in benchmarks if name not in done], error)

    def _is_in_vain(self) -> bool:
        """Returns whether most benchmarks of a block that has one CPU need all of them.

        Those that follow then probably do, too, and their fixtures would be set up for nothing.
        """
        return not self.is_alone and len(self.wide) >= FEW_WIDE and len(self.wide) > len(self.quads)

    def order(self, handle: WorkerHandle, benchmarks: Sequence[str]) -> Order:
        """Returns the order to run benchmarks, and to report in the end what is wanted of it."""
        order = Order(list(benchmarks))
        if handle.side in self.watched:
            order = reporting_order(benchmarks, self.watched[handle.side])
        return replace(order, imports=self.imports)

    def _measure_benchmark(self, name: str) -> None:
        """Measures one benchmark, or keeps why it is lost.

        Where a plugin runs the test again on both sides, the last attempt counts. An attempt that
        only one side makes has no partner, and is not timed.

        Raises:
            WorkerGoneError: A worker ended, fell silent or went astray.
        """
        exchange = self.exchange
        exchange.enter(name)
        quads: list[Quad] = []
        alone: set[SideName] = set()  # sides with an attempt that could not be timed
        attempts = 0
        while exchange.ready:
            quads = []
            if len(exchange.ready) == len(exchange.handles) and attempts < MOST_ATTEMPTS:
                attempts += 1
                quads = self._time_attempt(name)
                released = set(exchange.playing)
            else:
                released = set(exchange.ready)
                alone |= released
            exchange.spread(self.cpus, released)
            exchange.release(released, Stop() if quads else Abort())
            exchange.wait()
        is_complete = len(exchange.called) == len(exchange.handles) and bool(quads)
        if name in self.wide and not self.is_alone and not exchange.problems:
            return
        if exchange.problems or exchange.implausible or not is_complete:
            self.lost[name] = loss_of(exchange, alone)
            self.parallel.pop(name, None)
        else:
            self.quads[name] = quads

    def _time_attempt(self, name: str) -> list[Quad]:
        """Times the tests, which both wait; returns nothing if one of them fails on the way.

        Raises:
            WorkerGoneError: A worker ended, fell silent or went astray.
        """
        allowances = [message.allowed_rounds for message in self.exchange.ready.values()]
        limited = [rounds for rounds in allowances if rounds is not None]
        self.exchange.play()
        quads: list[Quad] = []
        try:
            quads = self._time(name, min(limited, default=math.inf))
        except BenchmarkEndedError:
            return []
        finally:
            self.exchange.raise_if_gone()
        return quads

    def _time(self, name: str, allowed: float) -> list[Quad]:
        """Takes the quads of one benchmark, in which both tests wait inside their fixture.

        These are the steps:

            size batches: as many rounds as fill BATCH_SECONDS, equally many on both sides
            pin both sides to one CPU, unless one spends time outside of its thread
            collect garbage
            warm up: one batch each, thrown away, which tells that better
            play the turns: quads in ABBA or BAAB order by coin
            sort the batches by side

        The first call is made on all CPUs, because what it starts may count them.

        Args:
            name: The benchmark.
            allowed: Rounds that each side may run; infinite where there is no limit.

        If one side fails on the way, the other one takes the remaining steps alone, and there are
        no quads.

        Raises:
            BenchmarkEndedError: The tests of both sides failed on the way.
            WorkerGoneError: No side is left, and a worker is gone.
        """
        self.parallel.pop(name, None)  # of an attempt before this one
        self.calls.pop(name, None)
        plan = BatchPlan(1, allowed)
        is_limited = allowed <= FEW_ROUNDS
        if not is_limited:
            plan = self._size_batches(allowed)
        elif plan.may_warm_up:
            plan = self._warm_up(plan)
        is_wide = plan.off_thread
        if not is_wide:
            self.exchange.pin([self.cpu])
        # It is waited for, because otherwise the first turns would seem to take long.
        self.exchange.ask([CollectGarbage(), CollectGarbage()], GarbageCollected)
        quads: list[Quad] = []
        if plan.slow and not self._defers(name, plan):
            quads, plan = self._time_slow(name, plan)
        if not plan.slow:
            if plan.may_warm_up and not is_limited:
                plan = self._warm_up(plan)
            if plan.off_thread and plan.may_warm_up and not is_limited:
                plan = self._warm_up(plan)  # one batch may have waited for a page of memory
            if not self._defers(name, plan):
                quads = self._time_fast(name, plan, is_wide=is_wide)
        if plan.off_thread and name not in self.wide:
            self.wide.append(name)
        self._count_calls(name, quads, plan)
        return self._as_slowed(name, quads)

    def _count_calls(self, name: str, quads: Sequence[Quad], plan: BatchPlan) -> None:
        """Counts the calls of one more call of each side, if the benchmark was timed.

        A slow call, and one that the test's author does not allow, is not made.
        """
        if not quads or not self.counts_calls:
            return
        left = plan.remaining - 2 * plan.rounds * len(quads)
        if left < 1 or fastest_call(quads) > COUNTED_SECONDS:
            return
        answers = self.exchange.ask([SumCalls(), SumCalls()], CallSum)
        if len(answers) == len(SIDES):
            self.calls[name] = (answers["baseline"].calls, answers["candidate"].calls)

    def _defers(self, name: str, plan: BatchPlan) -> bool:
        """Returns whether a benchmark is only named, because it needs all CPUs and has one."""
        if self.is_alone or not plan.off_thread:
            return False
        if name not in self.wide:
            self.wide.append(name)
        return True

    def _size_batches(self, allowed: float) -> BatchPlan:
        """Chooses how many rounds make a batch, by a rule in which the sides are equal."""
        at_most = None if math.isinf(allowed) else int(allowed // 4)
        search = SizeBatch(BATCH_SECONDS, at_most)
        idle = SizeBatch(BATCH_SECONDS, at_most=0)
        sizes = []
        # One after the other, because they may share a CPU.
        for searching, commands in enumerate(([search, idle], [idle, search])):
            answers = self.exchange.ask(commands, BatchSize)
            side = self.exchange.handles[searching].side
            if side in answers:
                sizes.append(answers[side])
        remaining = allowed - max(size.used for size in sizes)
        filling = min(size.rounds for size in sizes)
        rounds = max(1, min(filling, remaining / (4 * MIN_QUADS)))
        return BatchPlan(
            int(rounds),
            remaining,
            slow=any(size.slow for size in sizes),
            off_thread=any(sized_off_thread(size) for size in sizes),
        )

    def _warm_up(self, plan: BatchPlan) -> BatchPlan:
        """Runs a batch of each side, which is thrown away, and returns what is known after it.

        It fills caches, trains branch predictors and lets allocators grow.
        """
        begin = time.monotonic()
        batches = self.exchange.take_turns([0, 1], [plan.rounds, plan.rounds])
        with_setup = (time.monotonic() - begin) / 2 - MESSAGE_SECONDS
        walls = [batch.wall for batch in batches]
        return replace(
            plan,
            remaining=plan.remaining - plan.rounds,
            seconds=max([SHORTEST_BATCH, with_setup, *walls]),
            off_thread=any(works_off_thread(batch) for batch in batches),
            elsewhere=any(batch.elsewhere > 0 for batch in batches),
        )

    def _time_fast(self, name: str, plan: BatchPlan, *, is_wide: bool) -> list[Quad]:
        """Takes the quads of a benchmark that is warm.

        What waits is timed on all CPUs. What works in threads or child processes is timed on one,
        because where the scheduler puts these changes their CPU time by up to 30 %. After that it
        is timed on all CPUs, too, because a lost parallelism is not seen on one.

        Args:
            name: The benchmark.
            plan: How it is divided into batches.
            is_wide: Whether both sides are on all CPUs now.
        """
        count = plan.quads(self.seconds, self.fewest_quads.get(name, 1))
        in_both_ways = plan.elsewhere and math.isinf(plan.remaining) and count > 1
        goes_wide = plan.off_thread and not in_both_ways
        if goes_wide != is_wide:
            self.exchange.pin(self.cpus if goes_wide else [self.cpu])
        quads = self._take_quads(count, plan)
        if quads and in_both_ways:
            self.exchange.pin(self.cpus)
            further = self._take_quads(count // 2, plan)
            self.parallel[name] = self._as_slowed(name, further)
        return quads

    def _as_slowed(self, name: str, quads: list[Quad]) -> list[Quad]:
        """Returns the quads, lengthened on the candidate's side if that was asked."""
        if name not in self.slowdown:
            return quads
        return [slowed(quad, 1 + self.slowdown[name]) for quad in quads]

    def _time_slow(self, name: str, plan: BatchPlan) -> tuple[list[Quad], BatchPlan]:
        """Takes the quads of a benchmark whose first call was slow, without warming up.

        If only the first call was, for example because it imported something, and the others are
        too short for a batch, they do not count. The plan that is returned is then another one, for
        a benchmark that is not slow.
        """
        begin = time.monotonic()
        quads = self._take_quads(1, plan)
        lasted = (time.monotonic() - begin) / 4
        remaining = plan.remaining - 2 * plan.rounds
        walls = []
        for quad in quads:
            walls += [batch.wall for batch in quad.baseline + quad.candidate]
        is_short = lasted < SLOW_ROUND and max(walls, default=0) < BATCH_SECONDS / 2
        if is_short and remaining > FEW_ROUNDS:
            again = self._size_batches(remaining)
            return [], replace(again, slow=False, off_thread=plan.off_thread)
        plan = replace(plan, remaining=remaining, seconds=lasted)
        others = plan.quads(self.seconds, self.fewest_quads.get(name, 1)) - 1
        if others > 0:
            quads += self._take_quads(others, plan)
        return quads, plan

    def _take_quads(self, count: int, plan: BatchPlan) -> list[Quad]:
        """Plays the turns of so many quads, or of a single batch of each side if there are none."""
        if count > 0:
            order, size = draw_order(self.coins, count), 4
        else:  # AB or BA
            order, size = self.coins.sample([0, 1], 2), 2
        batches = self.exchange.take_turns(order, [plan.rounds, plan.rounds])
        return self._in_quads(order, batches, size=size)

    def _in_quads(self, order: Sequence[int], batches: Sequence[Batch], *, size: int) -> list[Quad]:
        sides = [self.exchange.handles[slot].side for slot in order]
        return sort_into_quads(sides, batches, size=size)


def draw_order(coins: random.Random, quads: int) -> list[int]:
    """Returns the slots of this many quads in time order, each ABBA or BAAB by coin."""
    order = []
    for _ in range(quads):
        first = coins.randrange(2)
        second = 1 - first
        order += [first, second, second, first]
    return order


def sort_into_quads(
    sides: Sequence[SideName], batches: Sequence[Batch], *, size: int
) -> list[Quad]:
    """Returns quads of `size` batches each.

    Args:
        sides: The side of each batch.
        batches: Batches in time order.
        size: 4, or 2 where a side may run only one batch.
    """
    quads = []
    for start in range(0, len(batches), size):
        baseline: list[Batch] = []
        candidate: list[Batch] = []
        for turn in range(start, start + size):
            own = baseline if sides[turn] == "baseline" else candidate
            own.append(batches[turn])
        quads.append(Quad(tuple(baseline), tuple(candidate)))
    return quads


def canary_calls(filling: int, detect: float) -> tuple[int, int]:
    """Returns how many calls a batch of the canary claims, and how many it makes in addition.

    These are `detect` of those to within 1 %. A batch has one additional call at least, and is
    longer than need be where `detect` is small.

    Args:
        filling: Calls that fill a batch, at least `MIN_CONTROL_CALLS`.
        detect: The slowdown that the canary shows, a fraction.
    """
    more = max(1, math.ceil(round(filling * detect, 9)))
    return round(more / detect), more


def control_quads(seconds: float, batch_seconds: float) -> int:
    """Returns how many quads of the canary, and of the control, are taken."""
    return max(1, round(min(seconds, CONTROL_SECONDS) / (4 * batch_seconds)))


def quads_to_take(seconds: float, batch_seconds: float, allowed: float, fewest: int = 1) -> int:
    """Returns how many quads of a benchmark are taken; 0 if a whole one is not allowed.

    Args:
        seconds: Planned timed seconds, both sides together.
        batch_seconds: How long a batch lasts, with its setups and teardowns.
        allowed: Quads that the test's author allows; may be infinite.
        fewest: Quads that are taken at least if they are allowed, however long they last.
    """
    quad_seconds = 4 * batch_seconds
    at_least = min(MIN_QUADS * quad_seconds, MIN_QUADS_SECONDS)
    wanted = max(seconds, at_least) / quad_seconds
    return int(min(max(fewest, wanted), allowed))


def fastest_call(quads: Sequence[Quad]) -> float:
    """Returns the seconds of a call, in the fastest batch of the last quad."""
    last = quads[-1]
    return min(batch.wall / batch.calls for batch in last.baseline + last.candidate)


def works_off_thread(batch: Batch) -> bool:
    """Returns whether a batch spends time outside of its own thread.

    It does in other threads, in child processes, asleep, and waiting for input or locks. One batch
    that is thrown away decides here which CPUs the benchmark gets. The verdict asks again, of all
    batches, in `judge.clock.choose_clock`.
    """
    if batch.elsewhere > 0:
        return True
    return batch.voluntary > 0 and batch.wall > (1 + BLIND) * batch.cpu


def sized_off_thread(size: BatchSize) -> bool:
    """Returns whether the last batch that was run to size one spent time outside of its thread."""
    return size.last is not None and works_off_thread(Batch(*size.last))


def slowed(quad: Quad, factor: float) -> Quad:
    """Returns a quad in which the candidate took longer by a factor on every clock.

    Times are rounded to whole nanoseconds, as those of a process that is really slower.
    """
    candidate = []
    for batch in quad.candidate:
        longer: dict[str, Any] = {}
        for name in BATCH_TIMES:
            seconds = getattr(batch, name)
            longer[name] = None if seconds is None else round(seconds * factor, 9)
        candidate.append(replace(batch, **longer))
    return replace(quad, candidate=tuple(candidate))


def lost_with_worker(undone: Sequence[str], error: WorkerGoneError) -> dict[str, Loss]:
    """Returns why benchmarks are lost when a worker ends: one by itself, the others after it.

    Args:
        undone: The benchmarks that were due, in their order.
        error: How the worker ended, in the first of them.
    """
    losses = {}
    for name in undone:
        text = f"after {undone[0]} {error.outcome}"
        losses[name] = Loss(None, "process", "stopped", text)
    if undone:
        losses[undone[0]] = Loss(error.side, "process", error.outcome, error.text)
    return losses


def loss_of(exchange: Exchange, alone: Collection[SideName]) -> Loss:
    """Returns why a benchmark is lost.

    Where both sides have a problem, none is at fault, and the candidate's text is kept.

    Args:
        exchange: What was heard of the benchmark.
        alone: The sides that made an attempt which the other one did not make.
    """
    if exchange.problems:
        return _loss_by(exchange.problems)
    if exchange.implausible:
        sides = list(exchange.implausible)
        return Loss(_only(sides), "call", "implausible", exchange.implausible[sides[-1]])
    heard = exchange.called | exchange.reruns.keys()
    silent = [handle.side for handle in exchange.handles if handle.side not in heard]
    if silent:
        text = f"{exchange.benchmark} finished without calling its benchmark fixture"
        return Loss(_only(silent), "call", "unused", text)
    if exchange.reruns:
        return _loss_by(exchange.reruns)
    again = [side for side in SIDES if side in alone]
    return Loss(_only(again), "call", "rerun", "a plugin ran the test again, on one side only")


def _loss_by(problems: Mapping[SideName, NotPassed]) -> Loss:
    problem = problems.get("candidate") or problems["baseline"]
    return Loss(_only(list(problems)), problem.phase, problem.outcome, problem.text)


def _only(sides: Sequence[SideName]) -> SideName | None:
    """Returns the only side at fault; None if both are."""
    return sides[0] if len(sides) == 1 else None


def _cpu_ticks() -> list[int]:
    """Returns the ticks of all CPUs since boot; none where the kernel does not tell them.

    They are: user, nice, system, idle, iowait, irq, softirq, steal.
    """
    try:
        first = CPU_TICKS.read_text(encoding="ascii").splitlines()[0]
        return [int(word) for word in first.split()[1:9]]
    except (OSError, ValueError, IndexError):
        return []


def _stolen_share(before: Sequence[int], after: Sequence[int]) -> float | None:
    """Returns the share of all CPU time between two readings that the hypervisor took."""
    if len(before) != len(after) or not before:
        return None
    ticks = [late - early for early, late in zip(before, after, strict=True)]
    return ticks[-1] / max(1, sum(ticks))


def _load() -> float | None:
    """Returns the one-minute load average; None where the kernel does not tell it."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return None
