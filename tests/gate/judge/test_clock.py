from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flopline.gate.judge.clock import (
    block_value,
    choose_clock,
    coarse,
    log_ratios,
    second_clock,
    seconds_per_call,
)
from flopline.gate.record import Batch, Clock, Quad, Settings
from tests.gate.support.samples import PAIRS, QUADS, quad, slower, swapped, timed


def test_seconds_per_call_are_read_from_the_asked_clock() -> None:
    batch = timed(calls=4, wall=8.0, cpu=4.0, timer=2.0)
    assert [seconds_per_call(batch, clock) for clock in ("wall", "cpu", "timer")] == [2.0, 1.0, 0.5]
    assert math.isnan(seconds_per_call(timed(), "timer"))


def test_the_clock_of_the_process_is_that_of_its_threads_and_its_children() -> None:
    batch = timed(calls=4, cpu=1.0, process=4.0, children=8.0)
    assert seconds_per_call(batch, "process") == 3.0


def test_a_log_ratio_is_positive_where_the_candidate_is_slower_per_call() -> None:
    half_as_many_calls = replace(timed(math.log(1.03) - math.log(2)), calls=50)
    pair = Quad((timed(),), (half_as_many_calls,))
    (ratio,) = log_ratios([pair], "cpu")
    assert ratio == pytest.approx(math.log(1.03))


def test_every_batch_of_the_candidate_is_held_against_both_of_the_baseline() -> None:
    baseline = (timed(0.1), timed(0.3))
    candidate = (timed(0.2), timed(0.7))
    ratios = log_ratios([Quad(baseline, candidate)], "cpu")
    assert ratios == pytest.approx([0.1, 0.6, -0.1, 0.4])


@given(st.builds(Quad, PAIRS, PAIRS), st.sampled_from(["cpu", "process", "wall", "timer"]))
def test_exchanging_the_sides_negates_the_log_ratios(measured: Quad, clock: Clock) -> None:
    there = log_ratios([measured], clock)
    back = log_ratios(swapped([measured]), clock)
    negated = [-ratio for ratio in there]
    assert sorted(back) == sorted(negated)


def test_a_preempted_quad_counts_on_the_wall_clock_only_if_calm_ones_are_few() -> None:
    preempted = quad(timed(), timed(0.1, involuntary=1, wall=0.2))
    assert log_ratios([slower(0.1)] + [preempted] * 3, "wall") == pytest.approx([0.1] * 4)
    assert len(log_ratios([slower(0.1)] + [preempted] * 4, "wall")) == 20
    assert log_ratios([preempted] * 4, "cpu") == pytest.approx([0.1] * 16)


def test_a_batch_without_a_positive_reading_spoils_its_quad() -> None:
    assert log_ratios([quad(timed(), timed(cpu=0.0))], "cpu") == []
    assert log_ratios([slower(0.1)], "timer") == []
    assert log_ratios([Quad((), (timed(),))], "cpu") == []


def test_one_wild_quad_does_not_move_the_block_value() -> None:
    quads = [slower(ratio) for ratio in (0.010, 0.011, 0.012, 0.013, 3.0)]
    assert block_value(quads, "cpu") == pytest.approx(0.012)


def test_one_wild_batch_in_every_quad_does_not_move_the_block_value() -> None:
    quads = []
    for ratio in (0.010, 0.011, 0.012):
        quads.append(Quad((timed(), timed()), (timed(ratio), timed(3.0))))
        quads.append(Quad((timed(), timed(3.0)), (timed(ratio), timed(ratio))))
    assert block_value(quads, "cpu") == pytest.approx(0.011, abs=0.001)


def test_a_block_needs_readings_in_a_quarter_of_its_quads() -> None:
    unread = quad(timed(), timed(wall=0.0))
    assert block_value([slower(0.1)] + [unread] * 3, "wall") == pytest.approx(0.1)
    assert block_value([slower(0.1)] + [unread] * 4, "wall") is None
    assert block_value([], "wall") is None


def test_a_block_on_the_wall_clock_has_a_value_though_every_batch_was_disturbed() -> None:
    disturbed = quad(timed(involuntary=2), timed(0.3, involuntary=1))
    assert block_value([disturbed] * 3, "wall") == pytest.approx(0.3)


# The clock

SETTINGS = Settings(detect=0.03)
SLEEPING = timed(voluntary=1, wall=8e-3)


def test_cpu_time_decides_pure_cpu_work() -> None:
    assert choose_clock([slower(0.5)] * 3, SETTINGS) == "cpu"
    assert choose_clock([], SETTINGS) == "cpu"


@pytest.mark.parametrize(
    "victim", [quad(timed(wall=6e-3), timed()), quad(timed(wall=6e-3), timed(wall=5e-3))]
)
def test_stolen_time_alone_does_not_choose_wall_time(victim: Quad) -> None:
    assert choose_clock([victim] * 3, SETTINGS) == "cpu"


def test_preemption_alone_does_not_choose_wall_time() -> None:
    preempted = quad(timed(), timed(involuntary=2, voluntary=1, wall=6e-3))
    assert choose_clock([preempted, slower(0.0)] * 3, SETTINGS) == "cpu"


def test_wall_time_decides_where_both_sides_sleep() -> None:
    assert choose_clock([quad(SLEEPING, SLEEPING)] * 3, SETTINGS) == "wall"


def test_wall_time_decides_where_one_side_began_to_sleep() -> None:
    assert choose_clock([quad(timed(), SLEEPING)] * 3, SETTINGS) == "wall"


def test_wall_time_decides_if_one_side_began_to_wait_for_more_than_detect() -> None:
    def waiting(share: float) -> list[Quad]:
        return [quad(timed(), timed(voluntary=1, wall=4e-3 * (1 + share)))] * 3

    assert choose_clock(waiting(0.04), SETTINGS) == "wall"
    assert choose_clock(waiting(0.02), SETTINGS) == "cpu"
    assert choose_clock(waiting(0.02), Settings(detect=0.01)) == "wall"


def test_waits_too_short_to_matter_leave_cpu_time_to_decide() -> None:
    short = timed(voluntary=3, wall=4.1e-3)
    assert choose_clock([quad(short, short)] * 3, SETTINGS) == "cpu"


THREADED = timed(cpu=2e-3, process=4e-3, voluntary=30, involuntary=9)
"""A server in another thread does half of the work, and every request is handed over."""
IN_CHILDREN = timed(cpu=1e-4, process=1e-4, children=4e-3, voluntary=1)


@pytest.mark.parametrize("batch", [THREADED, IN_CHILDREN])
def test_the_clock_of_the_process_decides_where_threads_or_children_work(batch: Batch) -> None:
    assert choose_clock([quad(batch, batch)] * 3, SETTINGS) == "process"
    assert choose_clock([quad(timed(), batch)] * 3, SETTINGS) == "process"


def test_handing_over_on_a_crowded_machine_is_no_waiting() -> None:
    calm, crowded = replace(THREADED, wall=9e-3), replace(THREADED, wall=90e-3)
    quads = [quad(calm, calm)] + [quad(crowded, crowded)] * 8
    assert choose_clock(quads, SETTINGS) == "process"


@pytest.mark.parametrize("batch", [THREADED, IN_CHILDREN])
def test_wall_time_decides_where_threads_or_children_mostly_sleep(batch: Batch) -> None:
    asleep = replace(batch, wall=40e-3)
    assert choose_clock([quad(asleep, asleep)] * 3, SETTINGS) == "wall"
    assert choose_clock([quad(batch, asleep)] * 3, SETTINGS) == "wall"


def test_a_little_work_in_other_threads_leaves_cpu_time_to_decide() -> None:
    housekeeping = timed(calls=1, process=4.15e-3)
    assert choose_clock([quad(housekeeping, housekeeping)] * 3, SETTINGS) == "cpu"


def test_idle_children_leave_cpu_time_to_decide() -> None:
    polling = timed(calls=1, children=1.5e-4)
    assert choose_clock([quad(polling, polling)] * 3, SETTINGS) == "cpu"


@pytest.mark.parametrize("seconds", [3e-6, 26e-6])
def test_reading_clocks_around_a_short_call_is_no_work_in_other_threads(seconds: float) -> None:
    short = timed(calls=1, wall=seconds, cpu=seconds, process=seconds + 9e-6)
    assert choose_clock([quad(short, short)] * 3, SETTINGS) == "cpu"
    assert choose_clock([quad(timed(calls=1), short)] * 3, SETTINGS) == "cpu"


def test_the_suites_own_timer_decides_where_every_batch_carries_it() -> None:
    threaded = timed(timer=1e-3, process=7e-3)
    assert choose_clock([quad(threaded, threaded)] * 3, SETTINGS) == "timer"
    assert choose_clock([quad(threaded, threaded), quad(threaded, timed())], SETTINGS) == "process"


def test_waits_on_a_crowded_machine_give_numbers_and_the_right_clock() -> None:
    longer = replace(SLEEPING, involuntary=1, wall=12e-3)
    crowded = [quad(replace(SLEEPING, involuntary=1), longer)] * 3
    assert choose_clock(crowded, SETTINGS) == "wall"
    assert block_value(crowded, "wall") == pytest.approx(math.log(1.5))


@given(QUADS)
@example([quad(timed(), SLEEPING)])
@example([quad(timed(cpu=0.0), timed(cpu=0.0, voluntary=1))])
def test_exchanging_the_sides_does_not_change_the_clock(quads: list[Quad]) -> None:
    there = choose_clock(quads, SETTINGS)
    back = choose_clock(swapped(quads), SETTINGS)
    assert there == back


# A second clock


def test_wall_time_is_the_second_clock_of_threads_and_children_only() -> None:
    assert second_clock([quad(THREADED, THREADED)] * 3, SETTINGS) == "wall"
    assert second_clock([quad(IN_CHILDREN, timed())] * 3, SETTINGS) == "wall"
    assert second_clock([quad(SLEEPING, SLEEPING)] * 3, SETTINGS) is None
    assert second_clock([slower(0.5)] * 3, SETTINGS) is None
    assert second_clock([], SETTINGS) is None


@pytest.mark.parametrize(("detect", "expected"), [(0.01, 0.10), (0.03, 0.10), (0.05, 0.15)])
def test_a_second_clock_is_asked_for_larger_changes(detect: float, expected: float) -> None:
    asked = Settings(detect=detect, alpha=0.02)
    assert coarse(asked).detect == pytest.approx(expected)
    assert coarse(asked).alpha == 0.02
