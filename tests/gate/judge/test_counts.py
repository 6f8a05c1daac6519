from __future__ import annotations

from dataclasses import replace

import pytest

from flopline.gate.judge.counts import calls_rose, counts_of, fails, with_calls
from flopline.gate.record import Comparison, Settings
from tests.gate.support.make_records import make_block

ROW = Comparison("a", "unchanged", change=0.0)
ASKED = Settings(calls=True)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([], (None, None, False)),
        ([(7, 7)], (7, 7, False)),
        ([(7, 9)], (None, None, False)),
        ([(7, 9), (7, 9)], (7, 9, False)),
        ([(7, 9), (8, 9)], (7, 9, True)),
        ([(7, 7), (7, 9)], (7, 7, True)),
    ],
)
def test_a_difference_counts_if_it_was_counted_twice(
    counts: list[tuple[int, int]], expected: tuple[int | None, int | None, bool]
) -> None:
    (row,) = with_calls([ROW], {"a": counts})
    assert (row.calls_baseline, row.calls_candidate, row.calls_vary) == expected


def test_counts_are_collected_from_the_blocks_that_have_them() -> None:
    blocks = [make_block("screen", 1, calls={"a": (1, 2)}), make_block("confirm", 1)]
    assert counts_of([*blocks, *blocks]) == {"a": [(1, 2), (1, 2)]}


def test_only_more_calls_fail_a_benchmark_and_only_if_that_was_asked() -> None:
    more = replace(ROW, calls_baseline=7, calls_candidate=8)
    assert calls_rose(more, ASKED)
    assert fails(more, ASKED)
    assert not fails(more, Settings())
    assert not fails(replace(more, calls_vary=True), ASKED)
    assert not fails(replace(more, calls_candidate=6), ASKED)
    assert fails(replace(ROW, verdict="regressed"), Settings())
