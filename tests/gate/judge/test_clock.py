from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flopline.gate.judge.clock import block_value, choose_clock, log_ratios, seconds_per_call
from flopline.gate.record import Clock, Quad, Settings
from tests.gate.support.samples import PAIRS, QUADS, quad, slower, swapped, timed


def test_seconds_per_call_are_read_from_the_asked_clock() -> None:
    batch = timed(calls=4, wall=8.0, cpu=4.0, timer=2.0)
    assert [seconds_per_call(batch, clock) for clock in ("wall", "cpu", "timer")] == [2.0, 1.0, 0.5]
    assert math.isnan(seconds_per_call(timed(), "timer"))


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


@given(st.builds(Quad, PAIRS, PAIRS), st.sampled_from(["cpu", "wall", "timer"]))
def test_exchanging_the_sides_negates_the_log_ratios(measured: Quad, clock: Clock) -> None:
    there = log_ratios([measured], clock)
    back = log_ratios(swapped([measured]), clock)
    negated = [-ratio for ratio in there]
    assert sorted(back) == sorted(negated)


def test_a_preempted_quad_counts_in_cpu_time_only() -> None:
    preempted = timed(0.1, involuntary=1, wall=0.2)
    quads = [Quad((timed(), timed()), (timed(0.1), preempted))]
    assert log_ratios(quads, "wall") == []
    assert log_ratios(quads, "cpu") == pytest.approx([0.1] * 4)


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


def test_a_block_needs_a_quarter_of_its_quads() -> None:
    preempted = quad(timed(), timed(involuntary=1))
    assert block_value([slower(0.1)] + [preempted] * 3, "wall") == pytest.approx(0.1)
    assert block_value([slower(0.1)] + [preempted] * 4, "wall") is None
    assert block_value([], "wall") is None


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


def test_wall_time_decides_where_other_threads_work() -> None:
    threaded = timed(process=7e-3)
    assert choose_clock([quad(threaded, threaded)] * 3, SETTINGS) == "wall"
    assert choose_clock([quad(timed(), threaded)] * 3, SETTINGS) == "wall"


def test_a_little_work_in_other_threads_leaves_cpu_time_to_decide() -> None:
    housekeeping = timed(calls=1, process=4.15e-3)
    assert choose_clock([quad(housekeeping, housekeeping)] * 3, SETTINGS) == "cpu"


def test_reading_clocks_around_a_short_call_is_no_work_in_other_threads() -> None:
    short = timed(calls=1, wall=3e-6, cpu=3e-6, process=4.5e-6)
    assert choose_clock([quad(short, short)] * 3, SETTINGS) == "cpu"


def test_the_suites_own_timer_decides_where_every_batch_carries_it() -> None:
    threaded = timed(timer=1e-3, process=7e-3)
    assert choose_clock([quad(threaded, threaded)] * 3, SETTINGS) == "timer"
    assert choose_clock([quad(threaded, threaded), quad(threaded, timed())], SETTINGS) == "wall"


def test_waits_on_a_crowded_machine_give_no_numbers_but_no_wrong_clock() -> None:
    crowded = [quad(replace(SLEEPING, involuntary=1), replace(SLEEPING, involuntary=1))] * 3
    assert choose_clock(crowded, SETTINGS) == "wall"
    assert block_value(crowded, "wall") is None


@given(QUADS)
@example([quad(timed(), SLEEPING)])
@example([quad(timed(cpu=0.0), timed(cpu=0.0, voluntary=1))])
def test_exchanging_the_sides_does_not_change_the_clock(quads: list[Quad]) -> None:
    there = choose_clock(quads, SETTINGS)
    back = choose_clock(swapped(quads), SETTINGS)
    assert there == back
