"""C18 and C20 to C24: which way of training is faster, per epoch and to a loss."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from flopline.chapter.claims.evidence import (
    Finding,
    Quantity,
    everywhere,
    jointly,
    median,
    ratio,
    times,
)
from flopline.chapter.claims.measurements import DISTANCES, WAYS
from flopline.chapter.claims.register import claim

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flopline.chapter.claims.measurements import Lab


def _epochs(lab: Lab, one: int, other: int) -> list[Quantity]:
    """How many times longer an epoch takes with one minibatch size than with another, in every way to run it."""
    return [
        ratio(
            f"epoch of {one} over {other}, {way}",
            lab.epoch_seconds(way, one),
            lab.epoch_seconds(way, other),
        )
        for way in WAYS
    ]


SIZE = {"gd": 1500, "sgd": 1, "batch10": 10, "batch100": 100}


def _to_loss(
    lab: Lab,
    one: str,
    other: str,
    rates: Sequence[float | None] = (None,),
    ways: Sequence[str] = WAYS,
) -> list[Quantity]:
    """How many times longer one experiment takes to a loss than another: epochs there, times seconds per epoch.

    Thresholds that fewer than 95 % of the seeds of either reach are left out. `rates` are those of `other`; None is
    the chapter's.
    """
    found = []
    for rate in rates:
        changes = {} if rate is None else {"lr": rate}
        for distance in DISTANCES:
            ours, theirs = lab.passes(one, distance), lab.passes(other, distance, **changes)
            if any(
                sum(map(math.isfinite, passes)) < 0.95 * len(passes) for passes in (ours, theirs)
            ):
                continue
            passes = median(
                "", [a / b for a, b in zip(ours, theirs, strict=True) if math.isfinite(a / b)]
            )
            for way in ways:
                each = ratio(
                    "", lab.epoch_seconds(way, SIZE[one]), lab.epoch_seconds(way, SIZE[other])
                )
                label = other if rate is None else f"{other} at lr {rate:.3g}"
                found.append(
                    times(f"time to L* + {distance:.0%}, {one} over {label}, {way}", passes, each)
                )
    return found


@claim(
    18,
    "An epoch of SGD takes longer than an epoch of gradient descent",
    "confirmed if it does in every way to run an epoch",
)
def _sgd_epoch(lab: Lab) -> Finding:
    found = _epochs(lab, 1, 1500)
    return Finding(everywhere(*(each.above(1) for each in found)), tuple(found))


NEVER = "Losses that fewer than 95 % of seeds reach are left out; at rate 1, gradient descent never comes within 1 %."


@claim(
    20,
    "SGD takes more time than gradient descent to the same loss",
    "confirmed if it does for every loss that both reach, in every way to run an epoch",
)
def _sgd_time(lab: Lab) -> Finding:
    found = _to_loss(lab, "sgd", "gd")
    return Finding(everywhere(*(each.above(1) for each in found)), tuple(found), NEVER)


@claim(
    21,
    "An epoch with minibatches of 100 is shorter than one of SGD, and even than one of gradient descent",
    "confirmed if it is shorter than both in every way to run an epoch, refuted if longer than one in every way",
)
def _hundred(lab: Lab) -> Finding:
    single, whole = _epochs(lab, 100, 1), _epochs(lab, 100, 1500)
    verdicts = {everywhere(*(each.below(1) for each in found)) for found in (single, whole)}
    verdict = (
        "refuted"
        if "refuted" in verdicts
        else everywhere(*(each.below(1) for each in single + whole))
    )
    note = "Against gradient descent it rests on the loader: row by row, every epoch costs the same work."
    return Finding(verdict, (*single, *whole), note)


@claim(
    22,
    "An epoch with minibatches of 10 is longer than one with minibatches of 100",
    "confirmed if it is in every way to run an epoch",
)
def _ten(lab: Lab) -> Finding:
    found = _epochs(lab, 10, 100)
    return Finding(everywhere(*(each.above(1) for each in found)), tuple(found))


@claim(
    23,
    "Minibatches of 10 take less time than SGD to the same loss",
    "confirmed if they do for every loss that both reach, in every way to run an epoch",
)
def _ten_time(lab: Lab) -> Finding:
    found = _to_loss(lab, "batch10", "sgd")
    return Finding(everywhere(*(each.below(1) for each in found)), tuple(found))


@claim(
    24,
    "Minibatches of 100 take even less time than gradient descent to the same loss",
    "confirmed if they do for every loss that both reach, in every way to run an epoch, against gradient descent at "
    "rates 1, 0.9 and 0.95 x 2 / lambda_max",
)
def _hundred_time(lab: Lab) -> Finding:
    found = _to_loss(lab, "batch100", "gd", (None, 0.9, 0.95 * lab.limits.limit))
    return Finding(
        jointly(bool(found)) if not found else everywhere(*(e.below(1) for e in found)),
        tuple(found),
        NEVER,
    )
