"""Quads of known speed."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from flopline.gate.record import Batch, Quad

if TYPE_CHECKING:
    from collections.abc import Sequence


def timed(ratio: float = 0.0, **facts: Any) -> Batch:  # noqa: ANN401  # as the fields are
    """A batch of 4 ms of CPU work in the calling thread alone, slower by a log-ratio."""
    seconds = 4e-3 * math.exp(ratio)
    batch = Batch(calls=100, wall=seconds, cpu=seconds, process=seconds, voluntary=0, involuntary=0)
    return replace(batch, **facts)


def quad(baseline: Batch, candidate: Batch) -> Quad:
    return Quad((baseline, baseline), (candidate, candidate))


IDLE = timed(wall=0.0, cpu=0.0, process=0.0)


def slower(ratio: float) -> Quad:
    return quad(timed(), timed(ratio))


def swapped(quads: Sequence[Quad]) -> list[Quad]:
    return [Quad(q.candidate, q.baseline) for q in quads]


def blocks(values: Sequence[float], quads: int = 3) -> list[list[Quad]]:
    return [[slower(value)] * quads for value in values]


BATCHES = st.builds(
    Batch,
    calls=st.integers(1, 1000),
    wall=st.floats(1e-6, 1.0),
    cpu=st.just(0.0) | st.floats(1e-6, 1.0),
    process=st.floats(0, 1.0),
    voluntary=st.integers(0, 3),
    involuntary=st.integers(0, 1),
    timer=st.none() | st.floats(1e-6, 1.0),
    children=st.just(0.0) | st.floats(1e-6, 1.0),
)
PAIRS = st.lists(BATCHES, min_size=1, max_size=2).map(tuple)
QUADS = st.lists(st.builds(Quad, PAIRS, PAIRS), max_size=6)
