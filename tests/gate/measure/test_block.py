"""A block with workers that only pretend, and the rules by which it is planned."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopline.gate.measure import block as blocks
from flopline.gate.measure.block import (
    BlockMeasurement,
    canary_calls,
    quads_to_take,
    run_block,
    slowed,
    works_off_thread,
)
from flopline.gate.measure.exchange import Exchange
from flopline.gate.measure.handle import WorkerError
from flopline.gate.measure.worker.flopline_worker.protocol import Pin, SizeBatch, TakeTurns
from flopline.gate.record import (
    MIN_QUADS,
    MIN_QUADS_SECONDS,
    Batch,
    Block,
    BlockRequest,
    Loss,
    Quad,
    Settings,
)
from flopline.progress import Progress
from tests.gate.measure.support.scripted import ScriptedWorker, scripted_pair
from tests.gate.support.make_sides import make_side

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from flopline.gate.record import SideName

CPU, OTHER = 3, 5
SECONDS = 0.02
A, B, C = "test_a", "test_b", "test_c"


@pytest.fixture
def workers() -> dict[SideName, ScriptedWorker]:
    return {"baseline": ScriptedWorker("baseline"), "candidate": ScriptedWorker("candidate")}


@pytest.fixture
def measurement(workers: dict[SideName, ScriptedWorker]) -> BlockMeasurement:
    """A measurement in which the candidate has the first slot."""
    exchange = Exchange([workers["candidate"], workers["baseline"]])
    coins = random.Random(1)  # noqa: S311  # the same in every run
    return BlockMeasurement(exchange, coins, CPU, [CPU, OTHER], SECONDS, 0.1, {})


@pytest.fixture
def run(
    workers: dict[SideName, ScriptedWorker], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Block]:
    """Runs a block of A, B and C, of which some sides lack C."""

    def started(
        *benchmarks: str,
        slowdown: dict[str, float] | None = None,
        controls: bool = True,
        lacking: Collection[SideName] = (),
    ) -> Block:
        collected: dict[SideName, list[str]] = {}
        for side in workers:
            collected[side] = [A, B] if side in lacking else [A, B, C]
        monkeypatch.setattr(blocks, "pair", scripted_pair(workers, collected))
        return run_block(
            make_side("baseline", tmp_path),
            make_side("candidate", tmp_path),
            BlockRequest("screen", benchmarks, SECONDS, Progress("screen"), controls),
            Settings(detect=0.1),
            cpus=[CPU, OTHER],
            slowdown=slowdown or {},
        )

    return started


def turns(worker: ScriptedWorker) -> list[TakeTurns]:
    return [command for command in worker.commands if isinstance(command, TakeTurns)]


def pins(worker: ScriptedWorker) -> list[list[int]]:
    return [command.cpus for command in worker.commands if isinstance(command, Pin)]


def rounds_to_size_a_batch(worker: ScriptedWorker) -> list[int | None]:
    return [command.at_most for command in worker.commands if isinstance(command, SizeBatch)]


# What one benchmark causes


def test_one_benchmark_causes_these_commands_in_this_order(
    measurement: BlockMeasurement, workers: dict[SideName, ScriptedWorker]
) -> None:
    measurement.measure_benchmarks([A], report=lambda _: None)
    for worker in workers.values():
        assert worker.kinds() == [
            *("Pin", "Order"),
            *("SizeBatch", "SizeBatch"),
            "Pin",  # to the one CPU
            "CollectGarbage",
            "TakeTurns",  # to warm up
            "TakeTurns",
            "Pin",  # to all CPUs
            "Stop",
        ]
    assert measurement.wide == []


def test_batches_are_timed_on_one_cpu_and_fixtures_run_on_all(
    measurement: BlockMeasurement, workers: dict[SideName, ScriptedWorker]
) -> None:
    measurement.measure_benchmarks([A], report=lambda _: None)
    for worker in workers.values():
        assert pins(worker) == [[CPU, OTHER], [CPU], [CPU, OTHER]]


def test_what_waits_is_timed_on_all_cpus(
    measurement: BlockMeasurement, workers: dict[SideName, ScriptedWorker]
) -> None:
    workers["baseline"].waiting = True
    measurement.measure_benchmarks([A], report=lambda _: None)
    assert measurement.wide == [A]
    for worker in workers.values():
        assert pins(worker) == [[CPU, OTHER], [CPU, OTHER]]


def test_beside_other_blocks_what_waits_is_only_named(
    measurement: BlockMeasurement, workers: dict[SideName, ScriptedWorker]
) -> None:
    workers["baseline"].waiting = True
    measurement.is_alone = False
    measurement.measure_benchmarks([A, B], lambda _: None)
    assert (measurement.quads, measurement.lost) == ({}, {})
    assert measurement.wide == [A, B]
    assert set(measurement.spent) == {A, B}


def test_beside_other_blocks_nothing_is_set_up_in_vain_for_long(
    measurement: BlockMeasurement, workers: dict[SideName, ScriptedWorker]
) -> None:
    workers["baseline"].waiting = True
    measurement.is_alone = False
    names = [f"t.py::test_{number}" for number in range(9)]
    measurement.measure_benchmarks(names, lambda _: None)
    assert measurement.wide == names
    assert list(measurement.spent) == names[:3]
    assert measurement.lost == {}


def test_what_works_in_threads_is_timed_on_one_cpu_and_then_on_all(
    measurement: BlockMeasurement, workers: dict[SideName, ScriptedWorker]
) -> None:
    workers["baseline"].threaded = True
    measurement.slowdown = {A: 1.0}
    measurement.measure_benchmarks([A], report=lambda _: None)
    for worker in workers.values():
        assert worker.kinds() == [
            *("Pin", "Order"),
            *("SizeBatch", "SizeBatch"),
            "CollectGarbage",
            *("TakeTurns", "TakeTurns"),  # to warm up, twice because it seems to wait
            *("Pin", "TakeTurns"),  # on the one CPU
            *("Pin", "TakeTurns"),  # on all CPUs
            "Pin",
            "Stop",
        ]
        assert pins(worker) == [[CPU, OTHER], [CPU], [CPU, OTHER], [CPU, OTHER]]
    assert measurement.wide == [A]
    assert len(measurement.parallel[A]) == len(measurement.quads[A]) // 2 > 0
    for quad in measurement.quads[A] + measurement.parallel[A]:
        assert quad.candidate[0].cpu == pytest.approx(2 * quad.baseline[0].cpu)


@pytest.mark.parametrize("allowed", [50, 4000])
def test_what_works_in_threads_and_allows_few_calls_is_timed_on_all_cpus(
    measurement: BlockMeasurement, workers: dict[SideName, ScriptedWorker], allowed: int
) -> None:
    for worker in workers.values():
        worker.threaded, worker.allowed = True, allowed
    measurement.measure_benchmarks([A], report=lambda _: None)
    assert (measurement.wide, measurement.parallel) == ([A], {})
    for worker in workers.values():
        assert [CPU] not in pins(worker)


@pytest.mark.parametrize("allowed", [None, 50])
def test_what_begins_to_wait_in_the_warm_up_is_timed_on_all_cpus(
    measurement: BlockMeasurement, workers: dict[SideName, ScriptedWorker], allowed: int | None
) -> None:
    for worker in workers.values():
        worker.allowed = allowed
    workers["baseline"].waiting_turns = True
    measurement.measure_benchmarks([A], report=lambda _: None)
    assert measurement.wide == [A]
    for worker in workers.values():
        narrow = [] if allowed else [[CPU]]
        assert pins(worker) == [[CPU, OTHER], *narrow, *([[CPU, OTHER]] * (1 + len(narrow)))]
        assert isinstance(worker.commands[-3], TakeTurns)


def test_a_benchmark_that_allows_few_calls_makes_its_first_on_all_cpus(
    measurement: BlockMeasurement, workers: dict[SideName, ScriptedWorker]
) -> None:
    for worker in workers.values():
        worker.allowed = 50
    measurement.measure_benchmarks([A], report=lambda _: None)
    for worker in workers.values():
        kinds = ["TakeTurns", "Pin", "CollectGarbage", "TakeTurns", "Pin", "Stop"]
        assert worker.kinds()[2:] == kinds
        assert pins(worker) == [[CPU, OTHER], [CPU], [CPU, OTHER]]


@pytest.mark.parametrize("waiting", [False, True])
def test_the_batch_that_was_sized_tells_whether_a_slow_benchmark_waits(
    measurement: BlockMeasurement,
    workers: dict[SideName, ScriptedWorker],
    monkeypatch: pytest.MonkeyPatch,
    *,
    waiting: bool,
) -> None:
    monkeypatch.setattr(blocks, "SLOW_ROUND", 0.0)  # every round is one
    workers["candidate"].first_slow = True
    workers["candidate"].waiting = waiting
    measurement.measure_benchmarks([A], report=lambda _: None)
    assert measurement.wide == ([A] if waiting else [])
    for worker in workers.values():
        assert sum(turns(worker)[0].mine) == 2  # it was not warmed up
        assert [CPU] in pins(worker) or waiting


def test_a_benchmark_of_which_only_the_first_call_is_slow_is_sized_again(
    measurement: BlockMeasurement, workers: dict[SideName, ScriptedWorker]
) -> None:
    workers["baseline"].first_slow = True
    measurement.measure_benchmarks([A], report=lambda _: None)
    for worker in workers.values():
        assert [command.rounds for command in turns(worker)] == [1, 250, 250]
        assert worker.kinds().count("SizeBatch") == 4
    assert len(measurement.quads[A]) == round(SECONDS / 1e-3)


def test_what_every_benchmark_has_cost_is_kept_also_of_lost_ones(
    measurement: BlockMeasurement, workers: dict[SideName, ScriptedWorker]
) -> None:
    workers["candidate"].failing = {B}
    measurement.measure_benchmarks([A, B], report=lambda _: None)
    assert list(measurement.spent) == [A, B]
    assert all(seconds > 0 for seconds in measurement.spent.values())


def test_sides_size_their_batches_one_after_the_other(
    measurement: BlockMeasurement, workers: dict[SideName, ScriptedWorker]
) -> None:
    measurement.measure_benchmarks([A], report=lambda _: None)
    assert rounds_to_size_a_batch(workers["candidate"]) == [None, 0]
    assert rounds_to_size_a_batch(workers["baseline"]) == [0, None]


@pytest.mark.parametrize(
    ("allowed", "expected_rounds", "expected_turns"),
    [
        (1, 1, [1]),  # one batch of each side, without warming up
        (2, 1, [2]),  # one quad, without warming up
        (3, 1, [1, 2]),
        (50, 1, [1, 48]),  # as many rounds as make whole quads
        (4000, 83, [1, 46]),  # batches so small that MIN_QUADS of them are allowed
    ],
)
def test_no_more_rounds_are_run_than_allowed(
    measurement: BlockMeasurement,
    workers: dict[SideName, ScriptedWorker],
    allowed: int,
    expected_rounds: int,
    expected_turns: list[int],
) -> None:
    for worker in workers.values():
        worker.allowed = allowed
    measurement.measure_benchmarks([A], report=lambda _: None)
    for worker in workers.values():
        assert {command.rounds for command in turns(worker)} == {expected_rounds}
        assert [sum(command.mine) for command in turns(worker)] == expected_turns


def test_the_smaller_of_the_two_limits_holds(
    measurement: BlockMeasurement, workers: dict[SideName, ScriptedWorker]
) -> None:
    workers["baseline"].allowed = 1
    measurement.measure_benchmarks([A], report=lambda _: None)
    (quad,) = measurement.quads[A]
    assert (len(quad.baseline), len(quad.candidate)) == (1, 1)


def test_batches_are_sorted_by_side(
    measurement: BlockMeasurement, workers: dict[SideName, ScriptedWorker]
) -> None:
    workers["candidate"].waiting = True
    measurement.measure_benchmarks([A], report=lambda _: None)
    for quad in measurement.quads[A]:
        assert [batch.voluntary for batch in quad.baseline] == [0, 0]
        assert [batch.voluntary for batch in quad.candidate] == [1, 1]


def test_turns_are_abba_or_baab_by_coin(
    measurement: BlockMeasurement, workers: dict[SideName, ScriptedWorker]
) -> None:
    measurement.measure_benchmarks([A], report=lambda _: None)
    for worker in workers.values():
        played = turns(worker)[-1]
        quads = {tuple(played.mine[i : i + 4]) for i in range(0, len(played.mine), 4)}
        assert quads == {(True, False, False, True), (False, True, True, False)}


def test_the_canary_does_more_on_the_candidates_side_and_claims_not_to(
    measurement: BlockMeasurement, workers: dict[SideName, ScriptedWorker]
) -> None:
    measurement.measure_controls()
    assert [command.rounds for command in turns(workers["baseline"])] == [50, 250, 250]
    assert [command.rounds for command in turns(workers["candidate"])] == [50, 275, 250]
    for quad in measurement.canary:
        assert {batch.calls for batch in quad.baseline + quad.candidate} == {250}
        assert quad.candidate[0].cpu == pytest.approx(1.1 * quad.baseline[0].cpu)
    assert len(measurement.canary) == len(measurement.control) == round(SECONDS / 1e-3)


def test_a_worker_that_ends_during_the_controls_cannot_measure(
    measurement: BlockMeasurement, workers: dict[SideName, ScriptedWorker]
) -> None:
    workers["candidate"].is_gone = True
    text = "candidate: the worker crashed before any benchmark: exit code 7"
    with pytest.raises(WorkerError, match=text):
        measurement.measure_controls()


def test_the_controls_take_no_longer_than_needed(
    measurement: BlockMeasurement, workers: dict[SideName, ScriptedWorker]
) -> None:
    measurement.seconds = 10.0
    measurement.measure_controls()
    assert len(measurement.canary) == len(measurement.control) == 80
    for worker in workers.values():
        assert sum(command.rounds for command in turns(worker)) > 0


@given(filling=st.integers(100, 5000), detect=st.floats(1e-4, 3.0))
def test_the_canary_makes_detect_more_calls_to_within_a_percent(
    filling: int, detect: float
) -> None:
    calls, more = canary_calls(filling, detect)
    assert more / calls == pytest.approx(detect, rel=0.01)
    assert calls >= min(filling, 0.995 * filling)
    assert calls <= (filling + 1 / detect) * 1.01


@pytest.mark.parametrize(
    ("detect", "expected"), [(0.03, (100, 3)), (0.0035, (286, 1)), (0.001, (1000, 1))]
)
def test_how_many_calls_the_canary_makes(detect: float, expected: tuple[int, int]) -> None:
    assert canary_calls(100, detect) == expected


# What a block does


def test_a_block_without_controls_measures_none(
    run: Callable[..., Block], workers: dict[SideName, ScriptedWorker]
) -> None:
    block = run(A, controls=False)
    assert (block.canary, block.control) == ([], [])
    assert list(block.quads) == [A]
    assert workers["baseline"].kinds()[:2] == ["Pin", "Order"]


def test_a_block_says_what_each_benchmark_has_cost(run: Callable[..., Block]) -> None:
    block = run(A, B)
    assert list(block.spent) == [A, B]
    assert sum(block.spent.values()) < block.seconds


def test_benchmarks_are_reported_and_measured_in_the_order_of_the_request(
    measurement: BlockMeasurement,
) -> None:
    reported: list[str] = []
    measurement.measure_benchmarks([B, A], reported.append)
    assert reported == list(measurement.quads) == [B, A]


@pytest.mark.parametrize(
    ("sides", "at_fault"),
    [(["baseline"], "baseline"), (["candidate"], "candidate"), (["baseline", "candidate"], None)],
)
def test_a_benchmark_that_a_side_does_not_collect_is_missing_there(
    run: Callable[..., Block], sides: list[SideName], at_fault: SideName | None
) -> None:
    block = run(A, B, C, lacking=sides)
    missing = Loss(at_fault, "collect", "missing", "it is not collected there")
    assert (list(block.quads), block.lost) == ([A, B], {C: missing})


def test_a_failing_side_is_at_fault_and_the_other_one_is_released(
    run: Callable[..., Block], workers: dict[SideName, ScriptedWorker]
) -> None:
    workers["candidate"].failing = {A}
    block = run(A, B)
    assert block.lost == {A: Loss("candidate", "call", "failed", "it failed")}
    assert list(block.quads) == [B]
    assert workers["baseline"].kinds().count("Abort") == 1
    assert "Abort" not in workers["candidate"].kinds()


def test_where_both_sides_fail_none_is_at_fault(
    run: Callable[..., Block], workers: dict[SideName, ScriptedWorker]
) -> None:
    for worker in workers.values():
        worker.failing = {A}
    assert run(A).lost == {A: Loss(None, "call", "failed", "it failed")}


@pytest.mark.parametrize("sides", [["baseline"], ["baseline", "candidate"]])
def test_a_fixture_that_is_not_used_is_a_loss(
    run: Callable[..., Block], workers: dict[SideName, ScriptedWorker], sides: list[SideName]
) -> None:
    for side in sides:
        workers[side].unused = {A}
    loss = run(A, B).lost[A]
    assert loss.side == (sides[0] if len(sides) == 1 else None)
    assert (loss.phase, loss.outcome) == ("call", "unused")
    assert loss.text == f"{A} finished without calling its benchmark fixture"


def test_a_crash_stops_the_block_and_the_survivor_is_not_waited_for(
    run: Callable[..., Block], workers: dict[SideName, ScriptedWorker]
) -> None:
    workers["candidate"].crashing = {A}
    block = run(A, B)
    assert block.quads == {}
    assert block.lost == {
        A: Loss("candidate", "process", "crashed", "exit code 7"),
        B: Loss(None, "process", "stopped", f"after {A} crashed"),
    }
    assert not any(worker.is_finished for worker in workers.values())


def test_both_workers_finish_after_a_block_without_a_crash(
    run: Callable[..., Block], workers: dict[SideName, ScriptedWorker]
) -> None:
    run(A)
    assert all(worker.is_finished for worker in workers.values())


@pytest.mark.parametrize("text", [None, "", "cpu\n", "nothing of it\n"])
def test_the_share_of_stolen_time_is_unknown_where_the_kernel_hides_it(
    run: Callable[..., Block], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    file = tmp_path / "stat"
    if text is not None:
        file.write_text(text)
    monkeypatch.setattr(blocks, "CPU_TICKS", file)
    assert run(A).steal is None


def test_a_slowdown_lengthens_the_candidates_readings_there_only(
    run: Callable[..., Block],
) -> None:
    block = run(A, B, slowdown={A: 1.0})
    for quad in block.quads[A]:
        assert quad.candidate[0].cpu == pytest.approx(2 * quad.baseline[0].cpu)
    for quad in block.quads[B]:
        assert quad.candidate == quad.baseline


# The rules


@given(
    seconds=st.floats(0.01, 1.0),
    batch_seconds=st.floats(1e-5, 10.0),
    allowed=st.integers(1, 10_000) | st.just(math.inf),
)
def test_quads_fill_the_planned_time_as_far_as_they_are_allowed(
    seconds: float, batch_seconds: float, allowed: float
) -> None:
    quads = quads_to_take(seconds, batch_seconds, allowed)
    assert 1 <= quads <= allowed
    if quads > max(1, MIN_QUADS):
        assert quads * 4 * batch_seconds <= max(seconds, MIN_QUADS_SECONDS) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("batch_seconds", "allowed", "expected"),
    [
        (2.5e-4, math.inf, 150),  # the planned time is full
        (5e-3, math.inf, 12),  # MIN_QUADS, though they take longer than planned
        (0.02, math.inf, 5),  # as many as fit into MIN_QUADS_SECONDS
        (3.0, math.inf, 1),  # one, however long it lasts
        (2.5e-4, 7.5, 7),
        (2.5e-4, 0.5, 0),
    ],
)
def test_how_many_quads_are_taken(batch_seconds: float, allowed: float, expected: int) -> None:
    assert quads_to_take(0.15, batch_seconds, allowed) == expected


BATCH = Batch(calls=10, wall=1e-3, cpu=1e-3, process=1e-3, voluntary=0, involuntary=0, timer=1e-3)


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        (BATCH, False),
        (replace(BATCH, process=1.06e-3), False),  # reading the clocks can take that
        (replace(BATCH, process=1.08e-3), True),  # another thread
        (replace(BATCH, children=1.06e-3), True),  # a child
        (replace(BATCH, wall=2e-3), False),  # the hypervisor took the CPU away
        (replace(BATCH, wall=2e-3, voluntary=1), True),  # asleep
        (replace(BATCH, wall=1.04e-3, voluntary=1), False),
    ],
)
def test_a_batch_waits_if_time_passes_outside_of_its_thread(
    batch: Batch, *, expected: bool
) -> None:
    assert works_off_thread(batch) is expected


def test_slowing_a_quad_changes_every_clock_of_the_candidate_only() -> None:
    before = Quad((BATCH,), (BATCH,))
    after = slowed(before, 1.5)
    assert after.baseline == before.baseline
    longer = replace(BATCH, wall=1.5e-3, cpu=1.5e-3, process=1.5e-3, timer=1.5e-3)
    assert after.candidate == (longer,)


def test_slowed_clocks_are_whole_nanoseconds() -> None:
    batch = replace(BATCH, cpu=1e-9, timer=None)
    (longer,) = slowed(Quad((), (batch,)), 1.4).candidate
    assert (longer.cpu, longer.timer) == (1e-9, None)
