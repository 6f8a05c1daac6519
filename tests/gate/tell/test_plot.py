from __future__ import annotations

import itertools
import math
import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from flopline.gate.record import BlockValue, Comparison, Settings
from flopline.gate.tell.plot import EDGE, FARTHEST, LABEL, WIDTH, Axis, draw
from tests.gate.support.any_record import COMPARISONS
from tests.gate.support.make_records import NOISY, REGRESSED, SAME

CHANGES = st.floats(-0.99, 600.0)


def axis_of(*rows: Comparison, blocks: list[BlockValue] | None = None) -> Axis:
    return Axis.of(Settings(), rows, [blocks or []])


@given(st.lists(CHANGES, min_size=2, max_size=9))
def test_larger_changes_lie_further_right_and_none_beside_the_axis(changes: list[float]) -> None:
    axis = axis_of(*(replace(SAME, change=change) for change in changes))
    places = [axis.place(math.log1p(change)) for change in sorted(changes)]
    assert places == sorted(places)
    assert EDGE <= places[0] <= places[-1] <= WIDTH - EDGE


@given(CHANGES)
def test_labels_keep_their_distance_and_begin_with_zero(change: float) -> None:
    ticks = axis_of(replace(SAME, change=change)).ticks()
    assert ticks[0].label == "0"
    places = sorted(float(tick.x) for tick in ticks)
    for left, right in itertools.pairwise(places):
        assert right - left > LABEL - 0.2


def test_the_axis_is_linear_within_the_margin_and_even_handed() -> None:
    axis = axis_of(replace(SAME, change=9.0), replace(SAME, change=-0.9))
    zero = axis.place(0.0)
    near = axis.place(0.002) - zero
    assert abs((axis.place(0.004) - zero) / near - 2) < 0.1
    assert abs((zero - axis.place(-0.7)) - (axis.place(0.7) - zero)) < 1e-6


def test_what_must_be_found_is_on_the_axis_of_a_run_without_a_change() -> None:
    axis = axis_of()
    assert axis.is_inside(axis.detect)
    assert axis.is_inside(-axis.detect)


def test_a_picture_has_a_point_for_every_block_and_a_lane_for_every_stage() -> None:
    values = [BlockValue("screen", 0.03), BlockValue("screen", 0.04), BlockValue("confirm", 0.05)]
    drawn = draw(REGRESSED, values, axis_of(REGRESSED, blocks=values))
    assert drawn is not None
    lanes = [re.findall(r"M[\d.]+ ([\d.]+)h0", path) for path in (drawn.screen, drawn.confirm)]
    assert [len(lane) for lane in lanes] == [2, 1]
    assert len({*lanes[0], *lanes[1]}) == 2


def test_the_interval_lies_around_the_estimate() -> None:
    drawn = draw(NOISY, [], axis_of(NOISY))
    assert drawn is not None
    left, estimate = float(drawn.left), float(drawn.estimate)
    assert left < estimate < left + float(drawn.width)
    assert drawn.beyond == ""


def test_a_change_beyond_the_axis_is_an_arrow_to_its_side() -> None:
    faster, slower = replace(SAME, change=-0.999), replace(SAME, change=500.0)
    axis = axis_of(faster, slower)
    assert (axis.low, axis.high) == (-FARTHEST, FARTHEST)
    left, right = draw(faster, [], axis), draw(slower, [], axis)
    assert left is not None
    assert right is not None
    assert 0 < float(left.beyond[1:].split()[0]) < EDGE
    assert WIDTH - EDGE < float(right.beyond[1:].split()[0]) < WIDTH


def test_what_was_not_measured_has_no_picture() -> None:
    assert draw(Comparison("a", "inconclusive"), [], axis_of()) is None


@given(COMPARISONS)
def test_any_comparison_can_be_drawn(row: Comparison) -> None:
    drawn = draw(row, [], axis_of(row))
    assert drawn is None or "nan" not in f"{drawn.left}{drawn.width}{drawn.estimate}"
