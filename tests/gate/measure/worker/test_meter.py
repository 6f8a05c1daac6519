from __future__ import annotations

import math
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopline.gate.measure.worker.flopline_worker.meter import (
    EMPTY_ROUNDS,
    Cost,
    Meter,
    cost_of_a_round,
    size_batch,
    spin,
)
from flopline.gate.measure.worker.flopline_worker.protocol import Reading


def lasting(wall: float, rounds: int = 1) -> Reading:
    """A batch that claims to have taken these seconds."""
    return Reading(rounds, wall, wall, wall, 0, 0)


@given(
    per_call=st.floats(1e-7, 10.0),
    overhead=st.floats(0, 1e-3),
    first=st.floats(0, 1.0),
    seconds=st.floats(1e-5, 1e-2),
    at_most=st.integers(1, 1000) | st.just(math.inf),
)
def test_a_batch_has_a_round_at_least_and_no_more_are_run_than_allowed(
    per_call: float, overhead: float, first: float, seconds: float, at_most: float
) -> None:
    made: list[int] = []

    def batch(rounds: int) -> Reading:
        made.append(rounds)
        slower = first if len(made) == 1 else 0
        return lasting(rounds * per_call + overhead + slower)

    rounds, used, _ = size_batch(batch, seconds, at_most)
    assert rounds >= 1
    assert min(made) >= 1
    assert used == sum(made) <= at_most
    assert (rounds - 0.5) * per_call <= seconds or rounds == 1


@pytest.mark.parametrize("per_call", [1e-7, 1e-6, 1e-5, 1e-4])
def test_sizing_finds_how_many_rounds_fill_a_batch(per_call: float) -> None:
    rounds, _, _ = size_batch(lambda count: lasting(count * per_call), 1e-3, math.inf)
    assert rounds == pytest.approx(1e-3 / per_call, rel=0.01)


def test_a_slow_first_call_does_not_decide_alone() -> None:
    # The rounds claim to take far longer than they do, however busy the machine is.
    walls = iter([0.5, 1e-3])
    assert size_batch(lambda _: lasting(next(walls)), 1.0, 2) == (1000, 2, lasting(1e-3))


def test_a_call_that_takes_long_is_not_repeated_to_size_a_batch() -> None:
    def batch(_: int) -> Reading:
        time.sleep(0.06)
        return lasting(0.06)

    assert size_batch(batch, 1e-3, math.inf) == (1, 1, lasting(0.06))


def test_a_batch_of_the_canary_is_all_of_its_calls_in_its_own_thread() -> None:
    few = min(spin(20).cpu for _ in range(5))
    many = min(spin(200).cpu for _ in range(5))
    assert 3 < many / few < 30
    reading = spin(20)
    assert (reading.calls, reading.timer) == (20, None)
    assert reading.wall > 0


def test_a_meter_sums_over_its_pieces_and_stands_still_between_them() -> None:
    meter = Meter()
    with meter:
        spin(10)
    before = meter.reading(1)
    spin(10)
    assert meter.reading(1) == before
    with meter:
        spin(10)
    after = meter.reading(1)
    assert after.cpu > before.cpu
    assert after.wall > before.wall
    assert meter.reading(4, 0.5).timer == 0.5


def test_a_meter_sees_sleep_only_on_the_wall_clock_and_among_the_switches() -> None:
    meter = Meter()
    with meter:
        threading.Event().wait(0.05)
    reading = meter.reading(1)
    assert reading.wall >= 0.04
    assert reading.cpu < reading.wall / 2
    assert reading.voluntary >= 1


# What measuring costs


class PretendedMeter:
    """Has a meter show the same in every round, but for two disturbed ones."""

    def __init__(self, wall: int, cpu: int, process: int) -> None:
        self.shown = (wall, cpu, process)
        self.rounds = 0

    def run(self, meter: Meter) -> float:
        self.rounds += 1
        meter.wall, meter.cpu, meter.process = self.shown
        if self.rounds in (3, 4):
            meter.wall *= 100
        return 1e-7


def test_a_round_costs_what_the_clocks_show_beyond_what_would_be_reported() -> None:
    pretended = PretendedMeter(wall=300, cpu=900, process=2200)
    assert cost_of_a_round(pretended.run) == pytest.approx((200, 800, 2100))
    assert pretended.rounds == EMPTY_ROUNDS


def test_a_round_never_costs_less_than_nothing() -> None:
    assert cost_of_a_round(PretendedMeter(wall=50, cpu=50, process=300).run) == (0, 0, 200)


def test_the_cost_is_taken_off_every_clock_of_the_meter() -> None:
    meter = Meter()
    meter.wall, meter.cpu, meter.process = 10_000, 10_000, 12_000
    reading = meter.reading(2, 0.5, Cost(200, 800, 2100))
    assert (reading.wall, reading.cpu, reading.process) == (9.8e-6, 9.2e-6, 9.9e-6)
    assert reading.timer == 0.5


def test_a_tenth_of_a_reading_is_left_at_least() -> None:
    meter = Meter()
    meter.wall, meter.cpu, meter.process = 1000, 1000, 1000
    assert meter.reading(1, None, Cost(999, 5000, 0))[1:4] == (1e-7, 1e-7, 1e-6)


def test_an_empty_round_takes_next_to_nothing_on_any_clock() -> None:
    def empty(meter: Meter) -> float:
        with meter:
            pass
        return 0.0

    cost = cost_of_a_round(empty)
    assert 0 <= cost.wall <= cost.cpu <= cost.process
    readings = []
    for _ in range(100):
        meter = Meter()
        empty(meter)
        readings.append(meter.reading(1, None, cost))
    # Work in other threads is what exceeds 5 us, even for the disturbed half of these.
    extra = sorted(reading.process - reading.cpu for reading in readings)
    assert abs(extra[50]) < 5e-6
