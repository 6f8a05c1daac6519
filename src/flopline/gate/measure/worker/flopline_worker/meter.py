"""Measuring a batch: the clocks and counters around it, and its size."""

from __future__ import annotations

import math
import resource
from typing import TYPE_CHECKING

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


class Meter:
    """Both clocks and the scheduler's counters around a piece of work, summed over pieces.

    The functions that read them are defaults of parameters: these are bound once, and there is no
    faster way to a function.
    """

    def __init__(self) -> None:
        self.wall = self.cpu = self.process = 0
        self.voluntary = self.involuntary = 0

    def __enter__(
        self,
        getrusage: Callable[[int], resource.struct_rusage] = Original.getrusage,
        thread: int = resource.RUSAGE_THREAD,
        process_time_ns: Clock = Original.process_time_ns,
        thread_time_ns: Clock = Original.thread_time_ns,
        perf_counter_ns: Clock = Original.perf_counter_ns,
    ) -> None:
        usage = getrusage(thread)
        self.before = (usage.ru_nvcsw, usage.ru_nivcsw, process_time_ns())
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
        voluntary, involuntary, process = self.before
        self.process += process_time_ns() - process
        usage = getrusage(thread)
        self.voluntary += usage.ru_nvcsw - voluntary
        self.involuntary += usage.ru_nivcsw - involuntary

    def reading(self, calls: int, timer: float | None = None) -> Reading:
        """Returns what the pieces took in seconds.

        Args:
            calls: Calls of the benchmarked function in all pieces.
            timer: Seconds by the suite's own timer; None where it set none.
        """
        return Reading(
            calls=calls,
            wall=self.wall / 1e9,
            cpu=self.cpu / 1e9,
            process=self.process / 1e9,
            voluntary=self.voluntary,
            involuntary=self.involuntary,
            timer=timer,
        )


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


def size_batch(batch: Batch, seconds: float, at_most: float) -> tuple[int, int]:
    """Finds how many rounds make a batch that lasts about `seconds`.

    If the setup and teardown of a round, which are not timed, take far longer than the rest of it,
    batches become shorter than that.

    Args:
        batch: Runs a number of rounds.
        seconds: How long a batch should last.
        at_most: Rounds that may be run to find out; at least 1, and infinite where there is no
            limit.

    Returns:
        The rounds in a batch, at least 1, and the rounds that were run to find out.
    """
    rounds, used = 1, 0
    timed_per_round = real_per_round = math.inf
    while True:
        begin = Original.perf_counter()
        timed = batch(rounds).wall
        real = Original.perf_counter() - begin
        used += rounds
        timed_per_round = min(timed_per_round, timed / rounds)
        real_per_round = min(real_per_round, real / rounds)
        filling = seconds / max(timed_per_round, 1e-9)
        bearable = PATIENCE * seconds / real_per_round
        wanted = max(1, round(min(filling, bearable)))
        # The first call is often the slowest. It decides alone only where a second one is slow too.
        if used == 1 and real_per_round < SLOW_CALL and used < at_most:
            continue
        if rounds >= wanted / 2 or used >= at_most:
            return wanted, used
        rounds = int(min(wanted, rounds * 100, at_most - used))
