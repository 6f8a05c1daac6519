from __future__ import annotations

import math

import pytest

from flopline.gate.judge.controls import check, steps
from flopline.gate.record import Quad
from tests.gate.support.samples import blocks, timed


def test_the_noise_floor_is_the_distance_between_batches_of_equal_code() -> None:
    gaps = [(0.001, 0.05), (0.002, 0.002), (0.001, 0.06)]
    quads = [
        Quad((timed(0.0), timed(one)), (timed(0.5), timed(0.5 - other))) for one, other in gaps
    ]
    assert steps(quads) == pytest.approx(math.expm1(0.002))


def test_single_batches_give_no_noise_floor() -> None:
    assert steps([Quad((timed(),), (timed(),))]) is None
    assert steps([]) is None


def test_the_noise_floor_of_wall_time_leaves_preempted_batches_out() -> None:
    quads = [Quad((timed(), timed(0.01)), (timed(), timed(involuntary=1, wall=1.0)))]
    assert steps(quads, "wall") == pytest.approx(math.expm1(0.01))


def test_controls_that_read_what_they_are_raise_no_problem() -> None:
    found = check(
        blocks([math.log(1.03), math.log(1.031), 1.0]), blocks([0.001, 0.002, -1.0]), 0.03
    )
    assert found.canary == pytest.approx(0.031)
    assert found.control == pytest.approx(math.expm1(0.001))
    assert found.problems == []


@pytest.mark.parametrize("read", [0.0, 0.0149, 0.0601, -0.03])
def test_a_canary_that_was_not_seen_is_a_problem(read: float) -> None:
    (problem,) = check(blocks([math.log1p(read)] * 4), blocks([0.0] * 4), 0.03).problems
    assert problem == f"the canary, 3.00% slower, read {read:+.2%}, not +1.50% to +6.00%"


@pytest.mark.parametrize("read", [0.0151, -0.0151])
def test_a_control_that_moved_is_a_problem(read: float) -> None:
    (problem,) = check(blocks([math.log(1.03)] * 4), blocks([math.log1p(read)] * 4), 0.03).problems
    assert problem.startswith("the control, 0.00% slower, read")


def test_controls_that_were_not_measured_are_a_problem() -> None:
    assert check([], [[]], 0.03) == (
        None,
        None,
        ["the canary was not measured", "the control was not measured"],
    )
