from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from flopline.timing import batch, best, event_clock, host_clock, size_batch, turns

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


def test_the_clock_of_the_host_is_a_monotonic_one() -> None:
    assert host_clock() is host_clock("cpu") is time.perf_counter
    assert time.get_clock_info("perf_counter").monotonic


@pytest.mark.parametrize("iterations", [0, 1, 7, 1000])
def test_a_batch_makes_exactly_the_requested_calls(clock: FakeClock, iterations: int) -> None:
    assert batch(clock.costing(0.25), iterations, clock) == 0.25 * iterations
    assert clock.calls == iterations


@given(cost=st.floats(1e-6, 1e-2), seconds=st.floats(1e-3, 1e-2))
@example(cost=1e-7, seconds=5e-3)
@example(cost=2e-3, seconds=5e-3)
def test_sizing_hits_the_target_within_a_factor_of_two_for_about_a_batch(
    cost: float, seconds: float
) -> None:
    clock = FakeClock()
    iterations = size_batch(clock.costing(cost), clock, seconds=seconds)
    if cost >= seconds:
        assert iterations == 1
    else:
        assert seconds / 2 <= iterations * cost <= seconds * 2
    assert 0.99 * seconds / 5 <= clock.now <= 1.26 * max(cost, seconds)


@pytest.mark.parametrize(("first", "calls"), [(0.005, 0), (3.0, 0), (0.0049, 1), (0.0, 1)])
def test_a_first_call_that_filled_a_batch_is_not_repeated(
    clock: FakeClock, first: float, calls: int
) -> None:
    assert size_batch(clock.costing(1.0), clock, first=first, seconds=0.005) == 1
    assert clock.calls == calls


def test_best_is_the_time_per_call_in_the_fastest_batch(clock: FakeClock) -> None:
    run = clock.running([0.5, 1.0, 1.0, 0.75, 0.5, 0.5, 0.25, 0.125, 1.0, 1.0, 1.0])
    assert best(run, clock, batches=5, seconds=1.0) == 0.375
    assert clock.calls == 11


def test_runs_take_turns_and_none_pays_for_what_another_left_behind(clock: FakeClock) -> None:
    previous = ""
    made = {"short": 0, "long": 0}
    rounds: list[int] = []

    def run(name: str, cost: float) -> None:
        nonlocal previous
        clock.now += cost
        if previous != name:
            clock.now += 100.0  # whoever comes after another run has to clean up
        previous = name
        made[name] += 1

    runs = {"short": lambda: run("short", 1e-3), "long": lambda: run("long", 1.0)}
    seconds = turns(runs, clock, rounds=3, report=rounds.append)
    assert seconds == {"short": [pytest.approx(1e-3)] * 3, "long": [pytest.approx(1.0)] * 3}
    assert rounds == [0, 1, 2]
    assert made["long"] == 2 + 3 * 2  # untimed and first; in every round untimed and timed
    assert 3 * 5 <= made["short"] - 2 - 3 <= 3 * 6 + 10  # batches of five, as if it were alone


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a CUDA device")
def test_an_event_clock_without_a_device_is_an_error() -> None:
    with pytest.raises(RuntimeError):
        event_clock()


@pytest.mark.cuda
@pytest.mark.parametrize("make", [lambda: host_clock("cuda"), event_clock], ids=["host", "event"])
def test_a_device_clock_advances_past_the_work_that_was_queued(
    make: Callable[[], Callable[[], float]],
) -> None:
    factor = torch.randn(2048, 2048, device="cuda")
    clock = make()
    readings = [clock()]
    for _ in range(5):
        for _ in range(20):
            torch.mm(factor, factor)
        readings.append(clock())
        assert torch.cuda.current_stream().query()
    assert all(earlier < later for earlier, later in itertools.pairwise(readings))
