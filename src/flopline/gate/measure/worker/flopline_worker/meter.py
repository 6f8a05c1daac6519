"""Measuring a batch: the clocks and counters around it, and its size."""

from __future__ import annotations

import math
import resource
from typing import TYPE_CHECKING, NamedTuple

from .children import CHILDREN
from .originals import Original
from .protocol import Reading

if TYPE_CHECKING:
    from collections.abc import Callable

    Batch = Callable[[int], Reading]
    Clock = Callable[[], int]

PATIENCE = 10
"""How many times its timed seconds a batch may take together with its setups and teardowns."""
SLOW_CALL = 0.05
"""A round that takes this many seconds is not repeated only to know its time better."""
STARTING = 10**6
"""A batch of fewer nanoseconds has started no child, or one that the next series finds."""
EMPTY_ROUNDS = 100
"""Rounds of nothing that tell what measuring a round costs; they take 0.5 ms."""
LEAST_SHARE = 0.1
"""So much of a reading is left at least when that cost is taken off."""


class Cost(NamedTuple):
    """Nanoseconds on each clock that measuring takes, beside what is measured."""

    wall: float = 0.0
    cpu: float = 0.0
    process: float = 0.0

    def times(self, pieces: int) -> Cost:
        """Returns what measuring this many pieces costs."""
        return Cost(pieces * self.wall, pieces * self.cpu, pieces * self.process)


NOTHING = Cost()


class Meter:
    """Both clocks and the scheduler's counters around a piece of work, summed over pieces.

    The functions that read them are defaults of parameters: these are bound once, and there is no
    faster way to a function.
    """

    def __init__(self) -> None:
        self.wall = self.cpu = self.process = self.children = 0
        self.voluntary = self.involuntary = 0

    def __enter__(
        self,
        getrusage: Callable[[int], resource.struct_rusage] = Original.getrusage,
        thread: int = resource.RUSAGE_THREAD,
        process_time_ns: Clock = Original.process_time_ns,
        thread_time_ns: Clock = Original.thread_time_ns,
        perf_counter_ns: Clock = Original.perf_counter_ns,
    ) -> None:
        children = CHILDREN.used()
        usage = getrusage(thread)
        self.before = (children, usage.ru_nvcsw, usage.ru_nivcsw, process_time_ns())
        self.cpu_before = thread_time_ns()
        self.wall_before = perf_counter_ns()

    def __exit__(
        self,
        _kind: object,
        _error: object,
        _traceback: object,
        perf_counter_ns: Clock = Original.perf_counter_ns,
        thread_time_ns: Clock = Original.thread_time_ns,
        process_time_ns: Clock = Original.process_time_ns,
        getrusage: Callable[[int], resource.struct_rusage] = Original.getrusage,
        thread: int = resource.RUSAGE_THREAD,
    ) -> None:
        self.wall += perf_counter_ns() - self.wall_before
        self.cpu += thread_time_ns() - self.cpu_before
        children, voluntary, involuntary, process = self.before
        self.process += process_time_ns() - process
        usage = getrusage(thread)
        self.voluntary += usage.ru_nvcsw - voluntary
        self.involuntary += usage.ru_nivcsw - involuntary
        self.children += CHILDREN.used() - children

    def reading(self, calls: int, timer: float | None = None, cost: Cost = NOTHING) -> Reading:
        """Returns what the pieces took in seconds.

        Args:
            calls: Calls of the benchmarked function in all pieces.
            timer: Seconds by the suite's own timer; None where it set none.
            cost: What measuring all pieces costs; it is taken off.
        """
        if CHILDREN.watching or self.wall >= STARTING:
            self.children += CHILDREN.catch_up()
        return Reading(
            calls=calls,
            wall=_net(self.wall, cost.wall),
            cpu=_net(self.cpu, cost.cpu),
            process=_net(self.process, cost.process),
            voluntary=self.voluntary,
            involuntary=self.involuntary,
            timer=timer,
            children=max(0, self.children) / 1e9,
        )


def _net(nanoseconds: int, cost: float) -> float:
    """Returns a reading in seconds without what measuring costs, in whole nanoseconds."""
    return round(max(nanoseconds - cost, LEAST_SHARE * nanoseconds)) / 1e9


def cost_of_a_round(run: Callable[[Meter], float]) -> Cost:
    """Measures what measuring a round costs, on the spot.

    Each clock's is the median over rounds of nothing: it is what the clock shows beyond the time
    that pytest-benchmark itself would report for such a round.

    Args:
        run: Runs a round of nothing inside a meter; returns the seconds that pytest-benchmark would
            report for it.
    """
    walls, cpus, processes = [], [], []
    for _ in range(EMPTY_ROUNDS):
        meter = Meter()
        reported = 1e9 * run(meter)
        walls.append(meter.wall - reported)
        cpus.append(meter.cpu - reported)
        processes.append(meter.process - reported)
    medians = [sorted(readings)[EMPTY_ROUNDS // 2] for readings in (walls, cpus, processes)]
    return Cost(*(max(0.0, median) for median in medians))


def spin(calls: int) -> Reading:
    """Runs a batch of the worker's own function, which takes about 2.5 us of interpreter a call.

    The function is the same on both sides, so the coordinator knows what the measurement of it
    must show.
    """
    meter = Meter()
    with meter:
        for _ in range(calls):
            total = 0
            for i in range(60):
                total += i * i % 7
    return meter.reading(calls)


class Size(NamedTuple):
    """How a batch was sized.

    Attributes:
        rounds: Rounds in a batch, at least 1.
        used: Rounds that were run to find out.
        last: The last batch of these.
    """

    rounds: int
    used: int
    last: Reading


def size_batch(batch: Batch, seconds: float, at_most: float) -> Size:
    """Finds how many rounds make a batch that lasts about `seconds`.

    If the setup and teardown of a round, which are not timed, take far longer than the rest of it,
    batches become shorter than that.

    Args:
        batch: Runs a number of rounds.
        seconds: How long a batch should last.
        at_most: Rounds that may be run to find out; at least 1, and infinite where there is no
            limit.
    """
    rounds, used = 1, 0
    timed_per_round = real_per_round = math.inf
    while True:
        begin = Original.perf_counter()
        reading = batch(rounds)
        real = Original.perf_counter() - begin
        used += rounds
        timed_per_round = min(timed_per_round, reading.wall / rounds)
        real_per_round = min(real_per_round, real / rounds)
        filling = seconds / max(timed_per_round, 1e-9)
        bearable = PATIENCE * seconds / real_per_round
        wanted = max(1, round(min(filling, bearable)))
        # The first call is often the slowest. It decides alone only where a second one is slow too.
        if used == 1 and real_per_round < SLOW_CALL and used < at_most:
            continue
        if rounds >= wanted / 2 or used >= at_most:
            return Size(wanted, used, reading)
        rounds = int(min(wanted, rounds * 100, at_most - used))
