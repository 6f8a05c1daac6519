"""From batches to block values: which clock describes a benchmark, and what it measured.

Log-ratios are natural logarithms of the candidate's over the baseline's seconds per call; they are
positive where the candidate is slower.
"""

from __future__ import annotations

import itertools
import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flopline.gate.record import BLIND, HANDOVER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flopline.gate.record import Batch, Clock, Quad, Settings

USABLE = 0.25
"""A block has a value if at least this share of its log-ratios is usable."""


def seconds_per_call(batch: Batch, clock: Clock) -> float:
    """Returns a batch's seconds per call on one clock; nan if it has no positive reading."""
    seconds: float | None = getattr(batch, clock)
    if seconds is None or seconds <= 0:
        return math.nan
    return seconds / batch.calls


def log_seconds(batches: Sequence[Batch], clock: Clock) -> list[float]:
    """Returns the logarithm of every batch's seconds per call; nan where it is not usable.

    Wall time is not usable after an involuntary context switch, because it then includes the work
    of others. CPU time does not.
    """
    logs = []
    for batch in batches:
        disturbed = clock == "wall" and batch.involuntary > 0
        logs.append(math.nan if disturbed else math.log(seconds_per_call(batch, clock)))
    return logs


def log_ratios(quads: Sequence[Quad], clock: Clock) -> list[float]:
    """Returns the log-ratio of every pair of batches, one of each side, within each usable quad.

    A quad contributes four log-ratios, one per pair of batches, instead of one ratio of means. A
    single disturbed batch then affects two of four values. A quad is usable unless one of its
    batches has no positive reading or, on the wall clock, an involuntary context switch.
    """
    ratios = []
    for quad in quads:
        baseline = log_seconds(quad.baseline, clock)
        candidate = log_seconds(quad.candidate, clock)
        if any(math.isnan(log) for log in (*baseline, *candidate)):
            continue
        for before, after in itertools.product(baseline, candidate):
            ratios.append(after - before)
    return ratios


def block_value(quads: Sequence[Quad], clock: Clock) -> float | None:
    """Returns the one number of a block: the median of its log-ratios.

    Returns None if less than a quarter of the log-ratios is usable.
    """
    ratios = log_ratios(quads, clock)
    possible = 0
    for quad in quads:
        possible += len(quad.baseline) * len(quad.candidate)
    if not ratios or len(ratios) < USABLE * possible:
        return None
    return statistics.median(ratios)


@dataclass(frozen=True)
class SideTiming:
    """Where one side spends its time; every number is a median over batches.

    Attributes:
        elsewhere: CPU seconds per batch that the process spends outside of the calling thread, less
            what is tolerated. It is positive if the side works in other threads.
        waits: Voluntary context switches per batch.
        waits_per_call: Voluntary context switches per call.
        stretch: Wall time over CPU time.
    """

    elsewhere: float
    waits: float
    waits_per_call: float
    stretch: float


def side_timing(batches: Sequence[Batch]) -> SideTiming:
    """Summarises the batches of one side that had no involuntary context switch.

    If there are none, all batches count. What waits must then end without numbers on the wall
    clock, not with a CPU time that misses the wait.
    """
    calm = [batch for batch in batches if batch.involuntary == 0]
    elsewhere = []
    waits = []
    waits_per_call = []
    stretch = []
    for batch in calm or batches:
        tolerated = max(BLIND * batch.cpu, HANDOVER * batch.calls)
        elsewhere.append(batch.process - batch.cpu - tolerated)
        waits.append(batch.voluntary)
        waits_per_call.append(batch.voluntary / batch.calls)
        stretch.append(batch.wall / batch.cpu if batch.cpu > 0 else math.inf)
    return SideTiming(
        elsewhere=statistics.median(elsewhere),
        waits=statistics.median(waits),
        waits_per_call=statistics.median(waits_per_call),
        stretch=statistics.median(stretch),
    )


def uses_threads(side: SideTiming) -> bool:
    """Returns whether a side does a part of its work in other threads.

    Its process then spends over 5 % (and 5 us per call) more CPU time than the calling thread.
    """
    return side.elsewhere > 0


def is_waiting(side: SideTiming) -> bool:
    """Returns whether a side waits: for sleep, input, output or locks.

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

    It is the suite's own timer if every batch carries its reading. Otherwise it is wall time if CPU
    time does not describe the work: a side uses threads, a side waits, or one side began to wait.
    Otherwise it is CPU time, because wall time has ten times its noise on a contended machine.

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
    if uses_threads(before) or uses_threads(after):
        return "wall"
    if is_waiting(before) or is_waiting(after):
        return "wall"
    if began_to_wait(before, after, settings):
        return "wall"
    return "cpu"
