"""What a run measures about its own measuring: its noise floor, and two checks of known answer."""

from __future__ import annotations

import itertools
import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flopline.gate.judge.clock import log_ratios, log_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flopline.gate.record import Quad, Settings


def noise_floor(quads: Sequence[Quad]) -> float | None:
    """Returns how far equal code is from itself within a quad, as a fraction of its CPU time.

    It costs no time of its own: it is the median absolute log-ratio of the two batches that one
    side has in a quad, over both sides of all quads. Returns None if there are no such batches.
    """
    distances = []
    for quad in quads:
        for batches in (quad.baseline, quad.candidate):
            logs = log_seconds(batches, "cpu")
            for earlier, later in itertools.pairwise(logs):
                distances.append(abs(later - earlier))
    known = [distance for distance in distances if math.isfinite(distance)]
    return math.expm1(statistics.median(known)) if known else None


@dataclass(frozen=True)
class Controls:
    """What a run's two built-in checks measured.

    Attributes:
        canary: The measured change where the candidate's slot did exactly `detect` more work; None
            if it was not measured.
        control: The measured change where both slots did equal work; None if it was not measured.
        problems: What is wrong with them, in words. The run must not give verdicts if there is any.
    """

    canary: float | None
    control: float | None
    problems: list[str]


def check(
    canary: Sequence[Sequence[Quad]], control: Sequence[Sequence[Quad]], settings: Settings
) -> Controls:
    """Checks that a run saw a slowdown of exactly `detect`, and none where there is none.

    Changes are medians of all log-ratios in CPU time. The canary must be measured as `detect` / 2
    to 2 `detect`, and the control must be within `detect` / 2 of zero.

    Args:
        canary: Quads with exactly `detect` more work in the candidate's slot, per block.
        control: Quads with equal work, per block.
        settings: What was asked of the run.
    """
    detect = settings.detect
    slowed = _change(canary)
    equal = _change(control)
    problems = [
        *_problem(slowed, known=detect, low=detect / 2, high=2 * detect),
        *_problem(equal, known=0.0, low=-detect / 2, high=detect / 2),
    ]
    return Controls(slowed, equal, problems)


def _change(blocks: Sequence[Sequence[Quad]]) -> float | None:
    """Returns the median change over all quads of all blocks."""
    ratios = []
    for quads in blocks:
        ratios.extend(log_ratios(quads, "cpu"))
    return math.expm1(statistics.median(ratios)) if ratios else None


def _problem(measured: float | None, *, known: float, low: float, high: float) -> list[str]:
    """Returns a sentence if a known slowdown was not measured as what it is."""
    if measured is None:
        return [f"the built-in check with a known slowdown of {_percent(known)} was not measured"]
    if low <= measured <= high:
        return []
    problem = (
        f"the built-in check failed: a known slowdown of {_percent(known)} was measured as "
        f"{_signed(measured)} (expected {_signed(low)} to {_signed(high)}), so timings on this "
        "machine cannot be trusted right now"
    )
    return [problem]


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f} %"


def _signed(fraction: float) -> str:
    return f"{100 * fraction:+.2f} %"
