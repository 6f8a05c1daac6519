"""How many calls a benchmark makes: a second reading, which needs no clock and no statistics."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flopline.gate.record import Block, Comparison, Settings

ENOUGH = 2
"""A difference is believed if it was counted so many times."""


def counts_of(blocks: Sequence[Block]) -> dict[str, list[tuple[int, int]]]:
    """Returns the calls that were counted, of the baseline and the candidate, by node id."""
    counts: dict[str, list[tuple[int, int]]] = {}
    for block in blocks:
        for name, calls in block.calls.items():
            counts.setdefault(name, []).append(calls)
    return counts


def with_calls(
    rows: Sequence[Comparison], counts: Mapping[str, Sequence[tuple[int, int]]]
) -> list[Comparison]:
    """Returns comparisons that say how many calls were counted.

    Nothing is said of a benchmark whose sides differ and were counted only once.

    Args:
        rows: The comparisons.
        counts: The counts of the baseline and the candidate, by node id.
    """
    return [_with_calls(row, counts.get(row.id, ())) for row in rows]


def _with_calls(row: Comparison, counts: Sequence[tuple[int, int]]) -> Comparison:
    baseline = {before for before, _ in counts}
    candidate = {after for _, after in counts}
    if not counts or (len(counts) < ENOUGH and baseline != candidate):
        return row
    return replace(
        row,
        calls_baseline=min(baseline),
        calls_candidate=min(candidate),
        calls_vary=len(baseline) > 1 or len(candidate) > 1,
    )


def calls_rose(row: Comparison, settings: Settings) -> bool:
    """Returns whether a benchmark fails the run because it makes more calls."""
    return settings.calls and row.more_calls > 0


def fails(row: Comparison, settings: Settings) -> bool:
    """Returns whether a benchmark fails the run, by its time or by its calls."""
    return row.verdict == "regressed" or calls_rose(row, settings)
