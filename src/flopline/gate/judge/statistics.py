"""Estimates of a change with their intervals, and decisions about several tests together.

Values are log-ratios, one per block: natural logarithms of the candidate's over the baseline's
seconds per call, positive where the candidate is slower. docs/gate.md has the reasons.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def hodges_lehmann(values: Sequence[float]) -> float:
    """Returns the median of all averages of two values, or of a value with itself; nan of none.

    It is nearly as precise as the mean where values are Gaussian, and hardly moved by outliers
    (Hodges and Lehmann, 1963).
    """
    if not values:
        return math.nan
    sample = np.asarray(values)
    rows, columns = np.triu_indices(len(values))
    averages = (sample[rows] + sample[columns]) / 2
    return float(np.median(averages))


class Decision(NamedTuple):
    """Whether a multiple test rejects one p-value, and the limit that it was compared with."""

    rejected: bool
    limit: float


def holm(p_values: Mapping[str, float], alpha: float) -> dict[str, Decision]:
    """Decides about several p-values with Holm's step-down procedure (1979).

    The smallest of S p-values is compared with alpha / S, the next with alpha / (S - 1) and so on.
    The first one above its limit ends this, and all larger ones are compared with that limit too. A
    p-value is therefore rejected exactly where it is not above its limit.
    """
    decisions: dict[str, Decision] = {}
    limit = alpha
    rejecting = True
    remaining = len(p_values)
    for name in sorted(p_values, key=p_values.__getitem__):
        if rejecting:
            limit = alpha / remaining
        rejecting = p_values[name] <= limit
        decisions[name] = Decision(rejecting, limit)
        remaining -= 1
    return decisions
