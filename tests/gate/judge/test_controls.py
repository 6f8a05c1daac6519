from __future__ import annotations

import math

import pytest

from flopline.gate.judge.controls import check, noise_floor
from flopline.gate.record import Quad, Settings
from tests.gate.support.samples import blocks, timed

SETTINGS = Settings(detect=0.03)
CANARY = blocks([math.log(1.03)] * 4)
CONTROL = blocks([0.0] * 4)


def test_the_noise_floor_is_the_distance_between_batches_of_equal_code() -> None:
    quads = []
    for baseline, candidate in [(0.001, 0.05), (0.002, 0.002), (0.001, 0.06)]:
        quads.append(Quad((timed(0.0), timed(baseline)), (timed(0.5), timed(0.5 - candidate))))
    assert noise_floor(quads) == pytest.approx(math.expm1(0.002))


def test_single_batches_give_no_noise_floor() -> None:
    assert noise_floor([Quad((timed(),), (timed(),))]) is None
    assert noise_floor([]) is None


def test_controls_that_were_measured_as_what_they_are_raise_no_problem() -> None:
    canary = blocks([math.log(1.03), math.log(1.031), 1.0])
    controls = check(canary, blocks([0.001, 0.002, -1.0]), SETTINGS)
    assert controls.canary == pytest.approx(0.031)
    assert controls.control == pytest.approx(math.expm1(0.001))
    assert controls.problems == []


@pytest.mark.parametrize("change", [0.0, 0.0149, 0.0601, -0.03])
def test_a_canary_that_was_not_detected_is_a_problem(change: float) -> None:
    (problem,) = check(blocks([math.log1p(change)] * 4), CONTROL, SETTINGS).problems
    assert problem == (
        "the built-in check failed: a known slowdown of 3.00 % was measured as "
        f"{100 * change:+.2f} % (expected +1.50 % to +6.00 %), so timings on this machine cannot "
        "be trusted right now"
    )


@pytest.mark.parametrize("change", [0.0151, -0.0151])
def test_a_control_that_moved_is_a_problem(change: float) -> None:
    (problem,) = check(CANARY, blocks([math.log1p(change)] * 4), SETTINGS).problems
    assert "a known slowdown of 0.00 % was measured as" in problem


def test_controls_that_were_not_measured_are_a_problem() -> None:
    controls = check([], [[]], SETTINGS)
    assert (controls.canary, controls.control) == (None, None)
    assert controls.problems == [
        "the built-in check with a known slowdown of 3.00 % was not measured",
        "the built-in check with a known slowdown of 0.00 % was not measured",
    ]
