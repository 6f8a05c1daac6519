"""From batches to block values: which clock describes a benchmark, and what it says.

Log-ratios are natural logarithms of candidate over baseline seconds per call, positive where the candidate is slower.
"""

from __future__ import annotations

import itertools
import math
import statistics
from typing import TYPE_CHECKING

from flopline.gate.record import BLIND, HANDOVER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flopline.gate.record import Batch, Clock, Quad


def seconds_per_call(batch: Batch, clock: Clock) -> float:
    """Seconds per call on one of the batch's clocks; nan without a reading, or where it is not positive."""
    seconds = {"cpu": batch.cpu, "wall": batch.wall, "timer": batch.timer}[clock]
    return seconds / batch.calls if seconds is not None and seconds > 0 else math.nan


def log_seconds(batches: Sequence[Batch], clock: Clock) -> list[float]:
    """Log seconds per call; nan where unusable. Involuntary switches put others' work into wall time, not CPU time."""
    return [
        math.nan if clock == "wall" and b.involuntary else math.log(seconds_per_call(b, clock))
        for b in batches
    ]


def log_ratios(quads: Sequence[Quad], clock: Clock) -> list[float]:
    """How far each batch of the candidate is from each of the baseline's in the same quad, over all usable quads.

    Four a quad rather than one of the means: one disturbed batch then spoils two of four, not all. A quad is not usable
    where a batch has no positive reading or, on the wall clock, an involuntary switch.
    """
    found = []
    for quad in quads:
        baseline, candidate = log_seconds(quad.baseline, clock), log_seconds(quad.candidate, clock)
        if not any(map(math.isnan, (*baseline, *candidate))):
            found += [after - before for before, after in itertools.product(baseline, candidate)]
    return found


def block_value(quads: Sequence[Quad], clock: Clock) -> float | None:
    """The block's one number, the median of its log-ratios; None where less than a quarter of them is usable."""
    kept = log_ratios(quads, clock)
    possible = sum(len(quad.baseline) * len(quad.candidate) for quad in quads)
    return statistics.median(kept) if kept and 4 * len(kept) >= possible else None


def choose_clock(quads: Sequence[Quad], detect: float) -> Clock:
    """The one clock for a benchmark, from all quads of its screen; exchanging the sides does not change it.

    `timer` where every batch carries the suite's own reading. Else `wall` where CPU time does not describe the work:

    - a side's process spends over 5 % (and 5 us a call) more CPU time than its calling thread: work in threads; or
    - a side waits at least once a batch, and its wall time exceeds its CPU time by over 5 %: sleep, I/O, locks; or
    - the sides wait differently often per call, and their wall/CPU differ by more than `detect`: one began to wait.

    Else `cpu`: under contention wall time has ten times its noise. All are medians over batches without involuntary
    switches (over all, if there are none: what waits must then end without numbers, not with a time that misses the
    wait). Wall above CPU time alone says nothing, as a hypervisor's theft looks the same; but nothing waits without a
    voluntary switch, and theft causes none.
    """
    baseline = [batch for quad in quads for batch in quad.baseline]
    candidate = [batch for quad in quads for batch in quad.candidate]
    if not (baseline and candidate):
        return "cpu"
    if all(batch.timer is not None for batch in baseline + candidate):
        return "timer"
    calm = [
        [batch for batch in side if not batch.involuntary] or side for side in (baseline, candidate)
    ]
    median = statistics.median
    threads = [
        median(b.process - b.cpu - max(BLIND * b.cpu, HANDOVER * b.calls) for b in side) > 0
        for side in calm
    ]
    waits = [median(b.voluntary for b in side) >= 1 for side in calm]
    rates = [median(b.voluntary / b.calls for b in side) for side in calm]
    stretch = [median(b.wall / b.cpu if b.cpu > 0 else math.inf for b in side) for side in calm]
    waiting = any(often and much > 1 + BLIND for often, much in zip(waits, stretch, strict=True))
    began = rates[0] != rates[1] and max(stretch) > (1 + detect) * min(stretch)
    return "wall" if any(threads) or waiting or began else "cpu"
