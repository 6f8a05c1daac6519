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
from flopline.gate.measure.worker.flopline_worker.protocol import (
    Abort,
    BatchSize,
    CollectGarbage,
    GarbageCollected,
    Order,
    Ready,
    SizeBatch,
    Stop,
)
from flopline.gate.record import (
    BATCH_TIMES,
    BLIND,
    HANDOVER,
    Batch,
    Block,
    Loss,
    Quad,
    SideName,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from flopline.gate.measure.worker.flopline_worker.protocol import LoadedFile, NotPassed
    from flopline.gate.record import BlockRequest, Settings
    from flopline.gate.sides.environment import Side

BATCH_SECONDS = 2.5e-4
"""How long a batch should last.

That is long compared with reading the clocks and with the 20 us that handing over a turn takes. It
is not longer because a shared machine changes its speed every few milliseconds: the noise of a quad
then hardly depends on its length, and four times as many quads halve the noise of their median.
"""
MIN_QUADS = 12
"""Quads that are taken per benchmark and block even if that exceeds the planned time."""
MIN_QUADS_SECONDS = 0.4
"""Seconds that are never exceeded to reach MIN_QUADS; one quad is taken however long it lasts."""
MESSAGE_SECONDS = 2e-3
"""What sending a command to both workers and receiving their answers takes at most, as a rule."""
METER_SECONDS = 2e-5
"""CPU time of a process beside its thread's that reading the clocks of one batch can pretend."""
FEW_ROUNDS = 200
"""Where a test's author allows no more rounds than this, none are spent on sizing a batch."""
PROBE_CALLS = 50
"""Calls of the worker's own function in the batches that tell how long one call takes."""
MIN_CONTROL_CALLS = 100
"""Calls of that function in a batch, so that a slowdown of 1 % is still a whole call."""
SIDES: tuple[SideName, ...] = ("baseline", "candidate")


def run_block(
    baseline: Side,
    candidate: Side,
    request: BlockRequest,
    settings: Settings,
    *,
    cpus: Sequence[int],
    slowdown: Mapping[str, float] = MappingProxyType({}),
    report: Callable[[str], None] = lambda _benchmark: None,
    loaded: Callable[[SideName, list[LoadedFile]], None] | None = None,
) -> Block:
    """Measures one block.

    Args:
        baseline: The version that is compared with.
        candidate: The version that is judged.
        request: What is measured.
        settings: The arguments for pytest, and the slowdown that the canary shows.
        cpus: The CPUs that may be used.
        slowdown: Per benchmark, the fraction by which the candidate's readings are lengthened, to
            test the gate.
        report: A function that is called with each benchmark's node id before it is timed.
        loaded: A function that receives, after everything was timed, the code that each side has
            loaded from its own folders and from the user's checkout; None if nobody wants to know.

    Raises:
        WorkerError: A side could not be started or does not collect.
        SuiteError: The arguments switch benchmarks off.
    """
    # The coins must be independent of everything else, because they make the test exact.
    coins = random.SystemRandom()
    hash_seed = 1 + secrets.randbelow(2**32 - 2)
    padding = secrets.randbelow(4096)
    candidate_first = coins.choice([True, False])
    cpu = coins.choice(list(cpus))
    slots = [candidate, baseline] if candidate_first else [baseline, candidate]
    begin, ticks = time.monotonic(), _cpu_ticks()
    workers = pair(slots, settings.arguments, hash_seed=hash_seed, padding=padding)
    with workers as (handles, (first, second)):
        measurement = BlockMeasurement(
            Exchange(handles), coins, cpu, cpus, request.seconds, settings.detect, slowdown
        )
        if loaded is not None:
            measurement.watched = {side.name: side for side in slots}
        measurement.measure_controls()
        on_both = [
            name for name in request.benchmarks if name in first.items and name in second.items
        ]
        measurement.measure_benchmarks(on_both, report)
        # If one worker is gone, the other one would wait for a command, and we for its end.
        if not measurement.gone:
            for handle in handles:
                files = handle.finish()
                if loaded is not None and files is not None:
                    loaded(handle.side, files)
    return Block(
        stage=request.stage,
        hash_seed=hash_seed,
        padding=padding,
        cpu=cpu,
        candidate_first=candidate_first,
        randomised=first.randomised or second.randomised,
        seconds=time.monotonic() - begin,
        steal=_stolen_share(ticks, _cpu_ticks()),
        load=os.getloadavg()[0],
        quads=measurement.quads,
        wide=measurement.wide,
        canary=measurement.canary,
        control=measurement.control,
        lost=measurement.lost,
    )


@dataclass(frozen=True)
class BatchPlan:
    """How a benchmark is divided into batches.

    Attributes:
        rounds: Rounds in a batch, equal on both sides.
        remaining: Rounds that each side may still run; infinite where there is no limit.
        slow: Whether a single round takes long.
    """

    rounds: int
    remaining: float
    slow: bool


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
        quads: The quads of each benchmark that was measured.
        lost: Why each other benchmark was not.
        wide: Benchmarks that were timed on all CPUs.
        canary: Quads of the worker's own function with more work on the candidate's side.
        control: Quads of the worker's own function with equal work.
        gone: Whether a worker ended or fell silent.
        watched: The sides that report in the end which code they have loaded.
    """

    exchange: Exchange
    coins: random.Random
    cpu: int
    cpus: Sequence[int]
    seconds: float
    detect: float
    slowdown: Mapping[str, float]
    quads: dict[str, list[Quad]] = field(default_factory=dict)
    lost: dict[str, Loss] = field(default_factory=dict)
    wide: list[str] = field(default_factory=list)
    canary: list[Quad] = field(default_factory=list)
    control: list[Quad] = field(default_factory=list)
    gone: bool = False
    watched: dict[SideName, Side] = field(default_factory=dict)

    def measure_controls(self) -> None:
        """Times the worker's own function, with more work on the candidate's side and with equal.

        Raises:
            WorkerError: A worker ended or fell silent.
        """
        try:
            self.exchange.pin([self.cpu])
            probes = self.exchange.take_turns([0, 1, 0, 1], [PROBE_CALLS, PROBE_CALLS])
            call_seconds = min(batch.wall for batch in probes) / PROBE_CALLS
            calls = max(MIN_CONTROL_CALLS, round(BATCH_SECONDS / call_seconds))
            self.canary = self._control(calls, math.ceil((1 + self.detect) * calls))
            self.control = self._control(calls, calls)
        except WorkerGoneError as error:
            raise WorkerError(
                f"{error.side}: the worker {error.outcome} before any benchmark: {error.text}"
            ) from error

    def _control(self, calls: int, candidate_calls: int) -> list[Quad]:
        """Returns quads that claim `calls` on both sides, whatever the candidate really did.

        What the candidate did in addition then reads as an exact slowdown.
        """
        order = draw_order(self.coins, round(self.seconds / (4 * BATCH_SECONDS)))
        calls_of = {"baseline": calls, "candidate": candidate_calls}
        rounds = [calls_of[handle.side] for handle in self.exchange.handles]
        batches = self.exchange.take_turns(order, rounds)
        claimed = [replace(batch, calls=calls) for batch in batches]
        return self._in_quads(order, claimed, size=4)

    def measure_benchmarks(self, benchmarks: Sequence[str], report: Callable[[str], None]) -> None:
        """Measures the benchmarks in this order.

        If a worker ends or falls silent, the remaining benchmarks are lost for this block.
        """
        try:
            self.exchange.spread(self.cpus, SIDES)
            for handle in self.exchange.handles:
                order = Order(list(benchmarks))
                if handle.side in self.watched:
                    order = reporting_order(benchmarks, self.watched[handle.side])
                handle.send(order)
            for name in benchmarks:
                report(name)
                self._measure_benchmark(name)
        except WorkerGoneError as error:
            self.gone = True
            done = self.quads.keys() | self.lost.keys()
            undone = [name for name in benchmarks if name not in done]
            for name in undone:
                text = f"after {undone[0]} {error.outcome}"
                self.lost[name] = Loss(None, "process", "stopped", text)
            if undone:
                self.lost[undone[0]] = Loss(error.side, "process", error.outcome, error.text)

    def _measure_benchmark(self, name: str) -> None:
        """Measures one benchmark, or keeps why it is lost."""
        self.exchange.problems.clear()
        ready: dict[SideName, Ready] = {}
        for handle in self.exchange.handles:
            message = self.exchange.receive(handle)
            if isinstance(message, Ready):
                ready[handle.side] = message
        waiting = set(ready)  # the sides whose test waits inside its benchmark fixture
        quads: list[Quad] = []
        if len(waiting) == len(self.exchange.handles):
            allowances = [message.allowed_rounds for message in ready.values()]
            limited = [rounds for rounds in allowances if rounds is not None]
            allowed = min(limited, default=math.inf)
            try:
                quads = self._time(name, allowed)
            except BenchmarkEndedError as ended:
                waiting -= ended.sides
            self.exchange.spread(self.cpus, waiting)
        for handle in self.exchange.handles:
            if handle.side in waiting:
                handle.send(Stop() if quads else Abort())
                self.exchange.receive(handle)
        if self.exchange.problems or len(ready) < len(self.exchange.handles):
            self.lost[name] = _loss(name, self.exchange.problems, ready.keys())
        else:
            self.quads[name] = quads

    def _time(self, name: str, allowed: float) -> list[Quad]:
        """Takes the quads of one benchmark, in which both tests wait inside their fixture.

        These are the steps:

            pin both sides to one CPU
            size batches: as many rounds as fill BATCH_SECONDS, equally many on both sides
            collect garbage
            warm up: one batch each, thrown away
            widen to all CPUs if it waits
            play the turns: quads in ABBA or BAAB order by coin
            sort the batches by side

        Args:
            name: The benchmark.
            allowed: Rounds that each side may run; infinite where there is no limit.

        Raises:
            BenchmarkEndedError: A side's test failed on the way.
        """
        self.exchange.pin([self.cpu])
        plan = self._size_batches(allowed)
        # It is waited for, because otherwise the first turns would seem to take long.
        self.exchange.ask([CollectGarbage(), CollectGarbage()], GarbageCollected)
        remaining = plan.remaining
        batch_seconds = MIN_QUADS_SECONDS if plan.slow else BATCH_SECONDS
        if remaining > 2 * plan.rounds and not plan.slow:
            # These batches fill caches, train branch predictors and let allocators grow.
            begin = time.monotonic()
            warm_up = self.exchange.take_turns([0, 1], [plan.rounds, plan.rounds])
            with_setup = (time.monotonic() - begin) / 2 - MESSAGE_SECONDS
            remaining -= plan.rounds
            if any(works_off_thread(batch) for batch in warm_up):
                self.wide.append(name)
                self.exchange.pin(self.cpus)
            batch_seconds = max(with_setup, *(batch.wall for batch in warm_up))
        count = quads_to_take(self.seconds, batch_seconds, remaining / (2 * plan.rounds))
        if count > 0:
            order, size = draw_order(self.coins, count), 4
        else:  # a single batch of each side, AB or BA
            order, size = self.coins.sample([0, 1], 2), 2
        batches = self.exchange.take_turns(order, [plan.rounds, plan.rounds])
        quads = self._in_quads(order, batches, size=size)
        if name in self.slowdown:
            quads = [slowed(quad, 1 + self.slowdown[name]) for quad in quads]
        return quads

    def _size_batches(self, allowed: float) -> BatchPlan:
        """Chooses how many rounds make a batch, by a rule in which the sides are equal."""
        if allowed <= FEW_ROUNDS:
            return BatchPlan(1, allowed, slow=False)
        at_most = None if math.isinf(allowed) else int(allowed // 4)
        search = SizeBatch(BATCH_SECONDS, at_most)
        idle = SizeBatch(BATCH_SECONDS, at_most=0)
        # One after the other, because they share a CPU.
        first, _ = self.exchange.ask([search, idle], BatchSize)
        _, second = self.exchange.ask([idle, search], BatchSize)
        sizes = [first, second]
        remaining = allowed - max(size.used for size in sizes)
        filling = min(size.rounds for size in sizes)
        rounds = max(1, min(filling, remaining / (4 * MIN_QUADS)))
        return BatchPlan(int(rounds), remaining, slow=any(size.slow for size in sizes))

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


def quads_to_take(seconds: float, batch_seconds: float, allowed: float) -> int:
    """Returns how many quads of a benchmark are taken; 0 if a whole one is not allowed.

    Args:
        seconds: Planned timed seconds, both sides together.
        batch_seconds: How long a batch lasts, with its setups and teardowns.
        allowed: Quads that the test's author allows; may be infinite.
    """
    quad_seconds = 4 * batch_seconds
    at_least = min(MIN_QUADS * quad_seconds, MIN_QUADS_SECONDS)
    wanted = max(seconds, at_least) / quad_seconds
    return int(min(max(1, wanted), allowed))


def works_off_thread(batch: Batch) -> bool:
    """Returns whether a batch spends time outside of its own thread.

    It does in other threads, asleep, and waiting for input or locks. One batch of the warm-up
    decides here which CPUs the benchmark gets. The verdict asks again, of all batches, in
    `judge.clock.choose_clock`.
    """
    off_thread = batch.process - batch.cpu
    overhead = HANDOVER * batch.calls + METER_SECONDS
    if off_thread > max(BLIND * batch.cpu, overhead):
        return True
    return batch.voluntary > 0 and batch.wall > (1 + BLIND) * batch.cpu


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


def _loss(name: str, problems: Mapping[SideName, NotPassed], ready: Collection[SideName]) -> Loss:
    """Returns why a benchmark is lost.

    Args:
        name: The benchmark.
        problems: What did not pass, by side; of both sides, the first one's text is kept.
        ready: The sides whose test called its benchmark fixture.
    """
    if problems:
        side, problem = next(iter(problems.items()))
        at_fault = side if len(problems) == 1 else None
        return Loss(at_fault, problem.phase, problem.outcome, problem.text)
    silent: list[SideName] = [side for side in SIDES if side not in ready]
    at_fault = silent[0] if len(silent) == 1 else None
    text = f"{name} finished without calling its benchmark fixture"
    return Loss(at_fault, "call", "unused", text)


def _cpu_ticks() -> list[int]:
    """Returns the ticks of all CPUs since boot.

    They are: user, nice, system, idle, iowait, irq, softirq, steal.
    """
    first = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
    return [int(word) for word in first.split()[1:9]]


def _stolen_share(before: Sequence[int], after: Sequence[int]) -> float:
    """Returns the share of all CPU time between two readings that the hypervisor took."""
    ticks = [late - early for early, late in zip(before, after, strict=True)]
    return ticks[-1] / max(1, sum(ticks))
