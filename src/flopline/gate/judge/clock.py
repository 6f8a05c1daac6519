"""From batches to block values: which clock describes a benchmark, and what it measured.

Log-ratios are natural logarithms of the candidate's over the baseline's seconds per call; they are
positive where the candidate is slower.
"""

from __future__ import annotations

import itertools
import math
import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from flopline.gate.record import BLIND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flopline.gate.record import Batch, Clock, Quad, Settings

USABLE = 0.25
"""A block has a value if at least this share of its log-ratios is usable."""
IDLE = 8.0
"""A benchmark with threads or children sleeps if it takes this many times their CPU time.

What a crowded machine adds is not in every batch, so a quiet tenth of the batches is looked at.
TestClient, queues and pools then take as long as their CPU time, even at a load of 5 on two
processors. But a child that works for many time slices took 3 to 5 times as long there. What sleeps
for less than this is left to the second clock.
"""
QUIET = 10
"""The batches are divided into so many equal parts, and the quietest one is looked at."""
COARSE = 3.0
"""A second clock must find a change that is this many times the one that must be found."""
COARSEST = 0.10
"""But it need not find a change smaller than this."""


def seconds_per_call(batch: Batch, clock: Clock) -> float:
    """Returns a batch's seconds per call on one clock; nan if it has no positive reading."""
    seconds: float | None = getattr(batch, clock)
    if clock == "process":
        seconds = batch.process + batch.children
    if seconds is None or seconds <= 0:
        return math.nan
    return seconds / batch.calls


def log_seconds(batches: Sequence[Batch], clock: Clock) -> list[float]:
    """Returns the logarithm of every batch's seconds per call; nan where there is no reading."""
    return [math.log(seconds_per_call(batch, clock)) for batch in batches]


def log_ratios(quads: Sequence[Quad], clock: Clock) -> list[float]:
    """Returns the log-ratio of every pair of batches, one of each side, within each usable quad.

    A quad contributes four log-ratios, one per pair of batches, instead of one ratio of means. A
    single disturbed batch then affects two of four values. A quad is usable if all of its batches
    have a positive reading.

    Wall time after an involuntary context switch includes the work of others, which CPU time does
    not. So on the wall clock only the quads without one are used, if these give at least a quarter
    of the log-ratios. Otherwise all are: threads of the benchmark's own cause such switches in
    every batch, and a call that takes longer than a time slice has some on every busy machine.
    """
    if clock == "wall":
        calm = [quad for quad in quads if is_calm(quad)]
        ratios = _all_log_ratios(calm, clock)
        if ratios and len(ratios) >= USABLE * _possible(quads):
            return ratios
    return _all_log_ratios(quads, clock)


def is_calm(quad: Quad) -> bool:
    """Returns whether no batch of a quad had an involuntary context switch."""
    return all(batch.involuntary == 0 for batch in quad.baseline + quad.candidate)


def _all_log_ratios(quads: Sequence[Quad], clock: Clock) -> list[float]:
    ratios = []
    for quad in quads:
        baseline = log_seconds(quad.baseline, clock)
        candidate = log_seconds(quad.candidate, clock)
        if any(math.isnan(log) for log in (*baseline, *candidate)):
            continue
        for before, after in itertools.product(baseline, candidate):
            ratios.append(after - before)
    return ratios


def _possible(quads: Sequence[Quad]) -> int:
    """Returns how many log-ratios there are if all quads are usable."""
    return sum(len(quad.baseline) * len(quad.candidate) for quad in quads)


def block_value(quads: Sequence[Quad], clock: Clock) -> float | None:
    """Returns the one number of a block: the median of its log-ratios.

    Returns None if there are none, or if less than a quarter of the batches have a reading.
    """
    ratios = log_ratios(quads, clock)
    if not ratios or len(ratios) < USABLE * _possible(quads):
        return None
    return statistics.median(ratios)


@dataclass(frozen=True)
class SideTiming:
    """Where one side spends its time, as medians over batches.

    Attributes:
        elsewhere: CPU seconds per batch that other threads and child processes use, less what is
            tolerated. It is positive if the side works there.
        waits: Voluntary context switches per batch.
        waits_per_call: Voluntary context switches per call.
        stretch: Wall time over the CPU time of the calling thread.
        idle: Wall time over all of its CPU time, that of other threads and children included, which
            a tenth of the batches do not exceed.
    """

    elsewhere: float
    waits: float
    waits_per_call: float
    stretch: float
    idle: float


def side_timing(batches: Sequence[Batch]) -> SideTiming:
    """Summarises the batches of one side that had no involuntary context switch.

    If there are none, all batches count. What waits is then still recognised by its switches.
    """
    calm = [batch for batch in batches if batch.involuntary == 0]
    elsewhere = []
    waits = []
    waits_per_call = []
    stretch = []
    for batch in calm or batches:
        waits.append(batch.voluntary)
        waits_per_call.append(batch.voluntary / batch.calls)
        stretch.append(_over(batch.wall, batch.cpu))
    idle = []
    for batch in batches:
        elsewhere.append(batch.elsewhere)
        idle.append(_over(batch.wall, batch.process + batch.children))
    return SideTiming(
        elsewhere=statistics.median(elsewhere),
        waits=statistics.median(waits),
        waits_per_call=statistics.median(waits_per_call),
        stretch=statistics.median(stretch),
        idle=sorted(idle)[len(idle) // QUIET],
    )


def _over(wall: float, cpu: float) -> float:
    return wall / cpu if cpu > 0 else math.inf


def works_elsewhere(side: SideTiming) -> bool:
    """Returns whether a side does a part of its work in other threads or in child processes."""
    return side.elsewhere > 0


def is_idle(side: SideTiming) -> bool:
    """Returns whether a side waits for more than its own threads and children.

    Even in its quietest batches, most of the time then passes in which none of them works.
    """
    return side.idle > IDLE


def is_waiting(side: SideTiming) -> bool:
    """Returns whether a side that works in its calling thread waits: for sleep, input or locks.

    It then waits at least once per batch, and its wall time exceeds its CPU time by over 5 %.
    """
    if side.waits < 1:
        return False
    return side.stretch > 1 + BLIND


def began_to_wait(baseline: SideTiming, candidate: SideTiming, settings: Settings) -> bool:
    """Returns whether one side waits more than the other, so that CPU time misses a difference.

    The sides then wait differently often per call, and their ratios of wall time to CPU time differ
    by more than the slowdown that must be found.
    """
    if baseline.waits_per_call == candidate.waits_per_call:
        return False
    shorter = min(baseline.stretch, candidate.stretch)
    longer = max(baseline.stretch, candidate.stretch)
    return longer > (1 + settings.detect) * shorter


def choose_clock(quads: Sequence[Quad], settings: Settings) -> Clock:
    """Returns the one clock that decides about a benchmark, from all quads of its screen.

    - `timer`: The suite's own timer, if every batch carries its reading.
    - `process`: A side works in other threads or in child processes. Handing over work between
      them looks like waiting and makes the wall time noisy, which is why it does not decide.
    - `wall`: A side waits, for sleep, input, locks, or a process that is not its own; or one side
      began to wait. With threads or children, it is idle for most of its time.
    - `cpu`: All others, because wall time has ten times its noise on a contended machine.

    Wall time above CPU time is no evidence alone, because time that a hypervisor takes away looks
    the same. But nothing waits without a voluntary context switch, and a hypervisor causes none.
    Exchanging the sides does not change the clock.
    """
    baseline: list[Batch] = []
    candidate: list[Batch] = []
    for quad in quads:
        baseline.extend(quad.baseline)
        candidate.extend(quad.candidate)
    if not baseline or not candidate:
        return "cpu"
    if all(batch.timer is not None for batch in (*baseline, *candidate)):
        return "timer"
    before = side_timing(baseline)
    after = side_timing(candidate)
    if works_elsewhere(before) or works_elsewhere(after):
        return "wall" if is_idle(before) or is_idle(after) else "process"
    if is_waiting(before) or is_waiting(after):
        return "wall"
    if began_to_wait(before, after, settings):
        return "wall"
    return "cpu"


def second_clock(quads: Sequence[Quad], settings: Settings) -> Clock | None:
    """Returns a second clock that also makes sense for a benchmark; None if there is none.

    It is wall time where the CPU time of threads and children decides: work that is no longer done
    in parallel takes the same CPU time and longer. What is asked of it is in `coarse`.
    """
    return "wall" if choose_clock(quads, settings) == "process" else None


def coarse(settings: Settings) -> Settings:
    """Returns the settings by which a second clock is judged.

    Hand-overs between threads, and others on the same processors, move the wall time of such
    benchmarks far more than their CPU time. A lost parallelism moves it by far more than that.
    """
    return replace(settings, detect=max(COARSE * settings.detect, COARSEST))
