"""The clocks, how many runs make a batch, and taking turns.

A clock is a callable that gives seconds; only differences of its readings mean anything. Nothing
here knows what is being timed, and torch is imported only by the clocks that need a device.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

BATCH_SECONDS = 5e-3
"""How long a batch should last.

It is long against the step of the clock (below 1 us), and short against the time slices of the
scheduler.
"""


Key = TypeVar("Key", bound="Hashable")


class Clock(Protocol):
    """A callable that gives seconds from an arbitrary start."""

    def __call__(self) -> float:
        """Returns the seconds since an arbitrary start."""


def host_clock(device: str = "cpu") -> Clock:
    """Returns a clock of what the user waits for.

    It includes the time in which calls are dispatched, and the device is idle at every reading.

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


def event_clock() -> Clock:
    """Returns a clock of the current CUDA stream, from the events that are recorded on it.

    Gaps on the device are included. CUDA events resolve about 0.5 us (CUDA Runtime API,
    cudaEventElapsedTime). `elapsed_time` is a 32-bit number of milliseconds. Therefore every
    reading adds the time since the *last* event to a float64, instead of asking for the time since
    one event that is long ago.

    Raises:
        RuntimeError: There is no CUDA device.
    """
    import torch

    def record() -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream())
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
    """Returns the seconds of `iterations` calls of `run`, timed together."""
    start = clock()
    for _ in range(iterations):
        run()
    return clock() - start


def size_batch(
    run: Callable[[], object], clock: Clock, *, first: float = 0.0, seconds: float = BATCH_SECONDS
) -> int:
    """Returns how many calls of `run` make a batch of about `seconds`; it is at least 1.

    Batches grow until one lasts a fifth of the target; the number of calls follows from that one by
    proportion. The search costs, at most, about one batch more.

    Args:
        run: What will be timed.
        clock: Gives seconds.
        first: The seconds of a call that was already made. If it fills a batch alone, it is not
            repeated here.
        seconds: The target: how long a batch should last.
    """
    if first >= seconds:
        return 1
    iterations = 1
    taken = batch(run, iterations, clock)
    while taken < seconds / 5:
        iterations *= 5
        taken = batch(run, iterations, clock)
    return max(1, round(seconds * iterations / taken))


def best(
    run: Callable[[], object], clock: Clock, *, batches: int = 5, seconds: float = 1e-3
) -> float:
    """Returns the seconds per call in the fastest of a few batches.

    That is what the machine can do, and not what it usually does.
    """
    iterations = size_batch(run, clock, seconds=seconds)
    return min(batch(run, iterations, clock) for _ in range(batches)) / iterations


def turns(
    runs: Mapping[Key, Callable[[], object]],
    clock: Clock,
    *,
    rounds: int,
    report: Callable[[int], None] = lambda _round: None,
) -> dict[Key, list[float]]:
    """Returns the seconds per call of each run, in batches that take turns; one entry per round.

    Each run is called once without timing right before it is timed, so that it does not pay for
    cleaning up after the previous run: after 65,536 small results of an element loop, the C
    library's allocator tidies its free lists for milliseconds at the next larger request.

    Args:
        runs: What to time, by name.
        clock: Gives seconds.
        rounds: How often each run has its turn.
        report: Receives the number of the round that begins, from 0.
    """
    iterations: dict[Key, int] = {}
    for name, run in runs.items():
        run()
        first = batch(run, 1, clock)
        iterations[name] = size_batch(run, clock, first=first)
    seconds: dict[Key, list[float]] = {name: [] for name in runs}
    for number in range(rounds):
        report(number)
        for name, run in runs.items():
            run()
            taken = batch(run, iterations[name], clock)
            seconds[name].append(taken / iterations[name])
    return seconds
