"""The stopwatch, the clocks, and how many runs make a batch.

A clock is a callable that gives seconds; only differences of its readings mean anything. Nothing here knows what is
being timed, and torch is imported only by the clocks that need a device.
"""

from __future__ import annotations

import itertools
import math
import statistics
import time
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

BATCH_SECONDS = 5e-3
"""How long a batch should last: long against the clock (under 1 us), short against the scheduler's slices."""


Key = TypeVar("Key", bound="Hashable")


class Clock(Protocol):
    """A callable that gives seconds from an arbitrary start."""

    def __call__(self) -> float:
        """Seconds since an arbitrary start."""


class TimerError(RuntimeError):
    """A stopwatch was asked for something it has not measured."""


class Timer:
    """The chapter's stopwatch on a monotonic clock: start, stop, avg, sum, cumsum; also a context manager.

    It starts when it is made, and `stop` does not start it again, as in the book.

    Args:
        clock: Gives seconds.
    """

    def __init__(self, clock: Clock = time.perf_counter) -> None:
        self.times: list[float] = []
        self._clock = clock
        self._started: float | None = None
        self.start()

    def start(self) -> None:
        """Starts, or starts again; a running interval is given up."""
        self._started = self._clock()

    def stop(self) -> float:
        """Ends the running interval, keeps it and gives its seconds.

        Raises:
            TimerError: The timer was not started since its last stop.
        """
        now = self._clock()
        if self._started is None:
            raise TimerError("stop: the timer is not running; call start() first")
        self.times.append(now - self._started)
        self._started = None
        return self.times[-1]

    def avg(self) -> float:
        """Mean seconds per interval.

        Raises:
            TimerError: No interval was measured yet.
        """
        if not self.times:
            raise TimerError("avg: no interval was measured yet; call start() and stop() first")
        return statistics.fmean(self.times)

    def sum(self) -> float:
        """Seconds of all intervals together; 0 when there is none."""
        return math.fsum(self.times)

    def cumsum(self) -> list[float]:
        """Running totals of the intervals, in seconds."""
        return list(itertools.accumulate(self.times))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def host_clock(device: str = "cpu") -> Clock:
    """A clock of what the user waits for: dispatch included, the device idle at every reading.

    Args:
        device: `cpu`, or a CUDA device, which is synchronised before the clock is read.
    """
    if not device.startswith("cuda"):
        return time.perf_counter
    import torch

    def synchronised() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return synchronised


def event_clock(device: str = "cuda") -> Clock:
    """A clock of the CUDA stream: seconds between events recorded on it, device-side gaps included.

    CUDA events resolve about 0.5 us (CUDA Runtime API, cudaEventElapsedTime). `elapsed_time` is a 32-bit number of
    milliseconds, so every reading adds the time since the *last* event to a float64 instead of asking one far event.

    Raises:
        RuntimeError: There is no such device.
    """
    import torch

    def record() -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(device))
        event.synchronize()
        return event

    last, seconds = record(), 0.0

    def elapsed() -> float:
        nonlocal last, seconds
        event = record()
        seconds += float(last.elapsed_time(event)) * 1e-3
        last = event
        return seconds

    return elapsed


def batch(run: Callable[[], object], iterations: int, clock: Clock) -> float:
    """Seconds of `iterations` calls of `run`, timed together."""
    start = clock()
    for _ in range(iterations):
        run()
    return clock() - start


def calibrate(
    run: Callable[[], object], clock: Clock, *, first: float = 0.0, seconds: float = BATCH_SECONDS
) -> int:
    """How many calls of `run` make a batch of about `seconds`; at least 1.

    Batches grow until one lasts a fifth of the target, from where the rest is proportion; so it costs at most about
    one batch more.

    Args:
        run: What will be timed.
        clock: Gives seconds.
        first: Seconds of a call already made; a call that fills a batch alone is then not repeated here.
        seconds: The length of a batch to aim at.
    """
    if first >= seconds:
        return 1
    iterations = 1
    while (taken := batch(run, iterations, clock)) < seconds / 5:
        iterations *= 5
    return max(1, round(seconds * iterations / taken))


def best(
    run: Callable[[], object], clock: Clock, *, batches: int = 5, seconds: float = 1e-3
) -> float:
    """Seconds per call in the fastest of a few batches: what the machine can do, not what it usually does."""
    iterations = calibrate(run, clock, seconds=seconds)
    return min(batch(run, iterations, clock) for _ in range(batches)) / iterations


def turns(
    runs: Mapping[Key, Callable[[], object]],
    clock: Clock,
    *,
    rounds: int,
    report: Callable[[int], None] = lambda _round: None,
) -> dict[Key, list[float]]:
    """Seconds per call of each run, in batches that take turns: an entry per round.

    Before it is timed a run is called once untimed, because what the one before it left behind is not its own: after
    65,536 small results of an element loop the C library's allocator tidies its free lists for milliseconds at the next
    larger request.

    Args:
        runs: What to time, by name.
        clock: Gives seconds.
        rounds: How often each has its turn.
        report: Told the number of the round that begins, from 0.
    """
    iterations = {}
    for name, run in runs.items():
        run()
        iterations[name] = calibrate(run, clock, first=batch(run, 1, clock))
    found: dict[Key, list[float]] = {name: [] for name in runs}
    for turn in range(rounds):
        report(turn)
        for name, run in runs.items():
            run()
            found[name].append(batch(run, iterations[name], clock) / iterations[name])
    return found
