from __future__ import annotations

import inspect
import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from flopline.timing import (
    Timer,
    TimerError,
    batch,
    best,
    calibrate,
    event_clock,
    host_clock,
    turns,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass
class FakeClock:
    now: float = 0.0
    calls: int = 0

    def __call__(self) -> float:
        return self.now

    def running(self, costs: Iterable[float]) -> Callable[[], None]:
        """Something to time, whose calls cost these seconds one after another."""
        remaining = iter(costs)

        def run() -> None:
            self.now += next(remaining)
            self.calls += 1

        return run

    def costing(self, seconds: float) -> Callable[[], None]:
        return self.running(iter(lambda: seconds, None))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(now=100.0)


@pytest.fixture
def timer(clock: FakeClock) -> Timer:
    """A stopwatch that measured 1, 2 and 4.5 seconds and is not running."""
    timer = Timer(clock)
    for seconds in (1.0, 2.0, 4.5):
        timer.start()
        clock.now += seconds
        timer.stop()
    return timer


def test_a_timer_runs_from_its_making_and_stop_gives_the_interval(clock: FakeClock) -> None:
    timer = Timer(clock)
    clock.now += 2.5
    assert timer.stop() == 2.5
    assert timer.times == [2.5]


def test_start_gives_a_running_interval_up(clock: FakeClock) -> None:
    timer = Timer(clock)
    clock.now += 7.0
    timer.start()
    clock.now += 2.0
    assert timer.stop() == 2.0
    assert timer.times == [2.0]


def test_intervals_are_averaged_summed_and_accumulated(timer: Timer) -> None:
    assert (timer.avg(), timer.sum(), timer.cumsum()) == (2.5, 7.5, [1.0, 3.0, 7.5])


def test_the_sum_of_many_intervals_is_rounded_once() -> None:
    timer = Timer()
    timer.times = [0.1] * 10
    assert timer.sum() == 1.0


def test_stop_does_not_start_again(timer: Timer, clock: FakeClock) -> None:
    clock.now += 1.0
    with pytest.raises(TimerError, match=r"not running; call start\(\) first"):
        timer.stop()
    assert timer.times == [1.0, 2.0, 4.5]


def test_of_no_interval_there_is_a_sum_but_no_average() -> None:
    timer = Timer()
    assert (timer.sum(), timer.cumsum()) == (0.0, [])
    with pytest.raises(
        TimerError, match=r"no interval was measured yet; call start\(\) and stop\(\) first"
    ):
        timer.avg()


def test_a_with_block_is_one_interval_from_its_entry(clock: FakeClock) -> None:
    timer = Timer(clock)
    clock.now += 9.0
    with timer as entered:
        clock.now += 3.0
    assert entered is timer
    assert timer.times == [3.0]


def test_a_with_block_that_fails_is_measured_and_its_error_passes(clock: FakeClock) -> None:
    def fail_in(timer: Timer) -> None:
        with timer:
            clock.now += 3.0
            raise KeyError

    timer = Timer(clock)
    with pytest.raises(KeyError):
        fail_in(timer)
    assert timer.times == [3.0]


def test_the_default_clocks_are_the_hosts_monotonic_one() -> None:
    assert inspect.signature(Timer).parameters["clock"].default is time.perf_counter
    assert host_clock() is host_clock("cpu") is time.perf_counter
    assert time.get_clock_info("perf_counter").monotonic


@pytest.mark.parametrize("iterations", [0, 1, 7, 1000])
def test_a_batch_makes_exactly_the_calls_it_was_asked_for(
    clock: FakeClock, iterations: int
) -> None:
    assert batch(clock.costing(0.25), iterations, clock) == 0.25 * iterations
    assert clock.calls == iterations


@given(cost=st.floats(1e-6, 1e-2), seconds=st.floats(1e-3, 1e-2))
@example(cost=1e-7, seconds=5e-3)
@example(cost=2e-3, seconds=5e-3)
def test_a_calibrated_batch_lasts_the_target_within_a_factor_of_two_at_the_price_of_about_one(
    cost: float, seconds: float
) -> None:
    clock = FakeClock()
    iterations = calibrate(clock.costing(cost), clock, seconds=seconds)
    if cost >= seconds:
        assert iterations == 1
    else:
        assert seconds / 2 <= iterations * cost <= seconds * 2
    assert 0.99 * seconds / 5 <= clock.now <= 1.26 * max(cost, seconds)


@pytest.mark.parametrize(("first", "calls"), [(0.005, 0), (3.0, 0), (0.0049, 1), (0.0, 1)])
def test_a_first_call_that_filled_a_batch_is_not_repeated(
    clock: FakeClock, first: float, calls: int
) -> None:
    assert calibrate(clock.costing(1.0), clock, first=first, seconds=0.005) == 1
    assert clock.calls == calls


def test_best_is_the_time_per_call_in_the_fastest_batch(clock: FakeClock) -> None:
    run = clock.running([0.5, 1.0, 1.0, 0.75, 0.5, 0.5, 0.25, 0.125, 1.0, 1.0, 1.0])
    assert best(run, clock, batches=5, seconds=1.0) == 0.375
    assert clock.calls == 11


def test_runs_take_turns_and_none_pays_for_what_another_left_behind(clock: FakeClock) -> None:
    last, made = "", {"short": 0, "long": 0}
    rounds: list[int] = []

    def run(name: str, cost: float) -> None:
        nonlocal last
        clock.now += cost + (
            100.0 if last != name else 0.0
        )  # whoever comes after another finds its debt
        last = name
        made[name] += 1

    runs = {"short": lambda: run("short", 1e-3), "long": lambda: run("long", 1.0)}
    found = turns(runs, clock, rounds=3, report=rounds.append)
    assert found == {"short": [pytest.approx(1e-3)] * 3, "long": [pytest.approx(1.0)] * 3}
    assert rounds == [0, 1, 2]
    assert made["long"] == 2 + 3 * 2  # untimed and first; in every round untimed and timed
    assert 3 * 5 <= made["short"] - 2 - 3 <= 3 * 6 + 10  # batches of five, as if it were alone


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a CUDA device")
def test_an_event_clock_without_a_device_is_an_error() -> None:
    with pytest.raises(RuntimeError):
        event_clock()


@pytest.mark.cuda
@pytest.mark.parametrize("make", [host_clock, event_clock])
def test_a_device_clock_advances_past_the_work_that_was_queued(
    make: Callable[[str], Callable[[], float]],
) -> None:
    factor = torch.randn(2048, 2048, device="cuda")
    clock = make("cuda")
    readings = [clock()]
    for _ in range(5):
        for _ in range(20):
            torch.mm(factor, factor)
        readings.append(clock())
        assert torch.cuda.current_stream().query()
    assert all(earlier < later for earlier, later in itertools.pairwise(readings))
