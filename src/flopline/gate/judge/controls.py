"""What a run says of its own measuring: the noise floor, and two checks whose answer is known."""

from __future__ import annotations

import itertools
import math
import statistics
from typing import TYPE_CHECKING, NamedTuple

from flopline.gate.judge.clock import log_ratios, log_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flopline.gate.record import Clock, Quad


def steps(quads: Sequence[Quad], clock: Clock = "cpu") -> float | None:
    """The noise floor that comes for free: how far equal code is from itself within a quad, as a fraction.

    The median absolute log-ratio of the two batches of a side, over both sides of all quads; None without any.
    """
    logs = [log_seconds(side, clock) for quad in quads for side in (quad.baseline, quad.candidate)]
    gaps = [abs(after - before) for side in logs for before, after in itertools.pairwise(side)]
    known = [gap for gap in gaps if math.isfinite(gap)]
    return math.expm1(statistics.median(known)) if known else None


class Controls(NamedTuple):
    """The measured changes of a run's two built-in checks (None: not measured), and what is wrong with them."""

    canary: float | None
    control: float | None
    problems: list[str]


def check(
    canary: Sequence[Sequence[Quad]], control: Sequence[Sequence[Quad]], detect: float
) -> Controls:
    """Whether a run saw a slowdown of exactly `detect`, and none where there is none; quads are given per block.

    Changes are medians of all log-ratios in CPU time. The canary must read detect / 2 to 2 detect, the control nothing
    within detect / 2; each failure is a problem in words.
    """
    changes, problems = [], []
    for name, per_block, true, low, high in (
        ("canary", canary, detect, detect / 2, 2 * detect),
        ("control", control, 0.0, -detect / 2, detect / 2),
    ):
        ratios = [ratio for quads in per_block for ratio in log_ratios(quads, "cpu")]
        changes.append(math.expm1(statistics.median(ratios)) if ratios else None)
        if changes[-1] is None:
            problems.append(f"the {name} was not measured")
        elif not low <= changes[-1] <= high:
            problems.append(
                f"the {name}, {true:.2%} slower, read {changes[-1]:+.2%}, not {low:+.2%} to {high:+.2%}"
            )
    return Controls(changes[0], changes[1], problems)
