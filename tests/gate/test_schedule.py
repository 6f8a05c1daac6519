"""Pacing with made-up blocks and a made-up clock: no process starts, and nothing waits."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from flopline.gate.judge.statistics import FEWEST_BLOCKS, MOST_BLOCKS
from flopline.gate.record import Loss, Settings
from flopline.gate.run import compare_all, drive
from flopline.gate.schedule import (
    Budget,
    Evidence,
    Schedule,
    confirm,
    expected_seconds,
    screen,
    second_look,
    timed_seconds,
)
from tests.gate.support.machine import (
    CRASHED,
    FAILED,
    SCHEDULE,
    STOPPED,
    UNLIMITED,
    Machine,
    quad_of,
    screened,
)

SETTINGS = Settings(detect=0.03)
SLOW = 0.1
"""A log-ratio far beyond suspicion."""
NOISY = [0.1, -0.03, 0.12, 0.0]
"""Values of a screen after which a suspicion asks for as many blocks as there may be."""
NEAR_MISS = [*([0.03] * 8), *([0.0] * 4), 0.03]
"""Block values that are nearly rejected at the first look, and rejected at the second."""


def confirmed(machine: Machine, *, seconds: float = UNLIMITED) -> tuple[Evidence, Budget]:
    """Returns the evidence after the confirm stage, and its budget, which began with the stage."""
    evidence, _ = screened(machine, SETTINGS)
    budget = Budget(seconds, machine.clock)
    drive(confirm(evidence, budget, SCHEDULE), machine.measure, evidence)
    return evidence, budget


def looked_twice(machine: Machine, *, seconds: float = UNLIMITED) -> tuple[Evidence, int]:
    """Returns the evidence after a second look, and the number of blocks that it took."""
    evidence, _ = confirmed(machine)
    blocks = len(machine.requests)
    budget = Budget(seconds, machine.clock)
    drive(second_look(evidence, budget, SCHEDULE), machine.measure, evidence)
    return evidence, len(machine.requests) - blocks


# How much is measured


def test_a_fine_slowdown_takes_more_and_longer_blocks() -> None:
    fine = Schedule.of(Settings(detect=0.02))
    coarse = Schedule.of(Settings(detect=0.03))
    assert fine.blocks > coarse.blocks
    assert fine.screen_seconds > coarse.screen_seconds
    assert fine.confirm_seconds > coarse.confirm_seconds


# The budget


def test_more_blocks_take_as_long_as_the_last_one_with_less_timed_in_it() -> None:
    machine = Machine({"a": 0.0, "b": 0.0}, start=2.0)
    evidence, _ = screened(machine, SETTINGS)
    assert timed_seconds(evidence.last) == pytest.approx(0.2)
    assert evidence.last.seconds == pytest.approx(2.2)
    assert expected_seconds(3, evidence.last) == pytest.approx(6.6)
    assert expected_seconds(3, evidence.last, 0.5) == pytest.approx(6.3)


def test_if_the_budget_is_short_only_what_is_timed_is_cut() -> None:
    machine = Machine({"a": 0.0})
    evidence, _ = screened(machine, SETTINGS)
    last = replace(evidence.last, seconds=10.0, quads={"a": [quad_of(0.0, 8.0)]})
    assert timed_seconds(last) == 8

    def fitting(seconds: float) -> float:
        return Budget(seconds, machine.clock).fitting(10, last)

    assert fitting(100 / 0.95) == pytest.approx(1)
    assert fitting(60 / 0.95) == pytest.approx(0.5)
    assert fitting(10.0) < 0
    last = replace(last, quads={})
    assert fitting(10.0) == 1.0


def test_a_budget_begins_when_it_is_made_and_ends_after_its_seconds() -> None:
    machine = Machine({"a": 0.0}, now=50.0)
    evidence, budget = screened(machine, SETTINGS, seconds=10.0)
    assert budget.spent() == pytest.approx(4 * 2.1)
    assert budget.remaining() == pytest.approx(10 - 4 * 2.1)
    assert not budget.affords(1, evidence.last)
    assert budget.affords(1, replace(evidence.last, seconds=1.5))


# The screen


def test_what_is_quiet_and_equal_is_screened_in_as_many_blocks_as_planned() -> None:
    machine = Machine({"a": 0.0, "b": 0.0})
    evidence, _ = screened(machine, SETTINGS)
    assert [request.stage for request in machine.requests] == ["screen"] * SCHEDULE.blocks
    for request in machine.requests:
        assert request.benchmarks == ("a", "b")
        assert request.seconds == SCHEDULE.screen_seconds
    assert len(evidence.blocks) == SCHEDULE.blocks
    assert evidence.warnings == []


def test_what_is_unclear_is_screened_again_twice_as_long_until_it_is_clear() -> None:
    unclear = [0.0, 0.03, -0.03, 0.03]
    machine = Machine({"a": 0.0, "b": 0.0}, values={("screen", "b"): [*unclear, 0.0]})
    screened(machine, SETTINGS)
    again = machine.requests[SCHEDULE.blocks :]
    assert 1 < len(again) <= SCHEDULE.blocks
    for request in again:
        assert (request.stage, request.benchmarks) == ("screen", ("b",))
        assert request.seconds == 2 * SCHEDULE.screen_seconds


def test_what_remains_unclear_is_screened_in_twice_as_many_blocks() -> None:
    machine = Machine({"a": 0.0}, sigma=0.1)
    screened(machine, SETTINGS)
    assert len(machine.requests) == 2 * SCHEDULE.blocks


def test_nothing_is_screened_again_without_a_budget_for_it() -> None:
    machine = Machine({"a": 0.0}, sigma=0.1, start=2.0)
    evidence, _ = screened(machine, SETTINGS, seconds=6 * 2.1)
    assert len(machine.requests) == SCHEDULE.blocks + 1
    assert evidence.warnings == []


def test_a_budget_that_ends_in_the_screen_is_a_warning() -> None:
    machine = Machine({"a": 0.0})
    evidence, _ = screened(machine, SETTINGS, seconds=5.0)
    assert len(evidence.blocks) == 2
    assert evidence.warnings == [
        "the budget of 5 s ended in the stage 'screen' after 2 of 4 blocks"
    ]


def test_the_first_block_is_measured_whatever_the_budget() -> None:
    machine = Machine({"a": 0.0})
    evidence, _ = screened(machine, SETTINGS, seconds=0.0)
    assert len(evidence.blocks) == 1


# What is lost


def test_the_block_of_a_crash_is_replaced_and_remains_as_evidence() -> None:
    crash = {"b": CRASHED, "c": STOPPED}
    machine = Machine({"a": 0.0, "b": 0.0, "c": 0.0}, losses={1: crash})
    evidence, _ = screened(machine, SETTINGS)
    assert len(evidence.blocks) == SCHEDULE.blocks + 1
    assert evidence.blocks[1].lost == crash
    assert evidence.losses == {"b": CRASHED}
    assert [request.benchmarks for request in machine.requests[2:]] == [("a", "c")] * 3
    assert len(evidence.quads("screen")["c"]) == SCHEDULE.blocks


def test_of_a_series_at_most_two_blocks_are_replaced() -> None:
    names = ["a", "b", "c", "d"]
    losses = {number: {name: CRASHED} for number, name in enumerate(names[:3])}
    machine = Machine(dict.fromkeys(names, 0.0), losses=losses)
    evidence, _ = screened(machine, SETTINGS)
    assert len(evidence.blocks) == SCHEDULE.blocks + 2
    assert set(evidence.losses) == {"a", "b", "c"}


def test_a_block_that_stopped_others_is_replaced_however_often() -> None:
    names = [f"deadly{number}" for number in range(5)]
    losses = {}
    for number, name in enumerate(names):
        losses[number] = {name: CRASHED, "a": STOPPED} | dict.fromkeys(names[number + 1 :], STOPPED)
    machine = Machine(dict.fromkeys([*names, "a"], 0.0), losses=losses)
    evidence, _ = screened(machine, SETTINGS)
    assert list(evidence.losses) == names
    assert len(evidence.quads("screen")["a"]) == SCHEDULE.blocks
    assert len(evidence.blocks) == SCHEDULE.blocks + 5


def test_what_was_stopped_in_every_block_is_lost_in_the_end() -> None:
    machine = Machine({"a": 0.0, "b": 0.0, "c": 0.0}, losses={0: {"b": CRASHED, "c": STOPPED}})
    evidence, _ = screened(machine, SETTINGS, seconds=0.0)
    assert evidence.losses == {"b": CRASHED}
    assert evidence.all_losses() == {"b": CRASHED, "c": STOPPED}
    rows = {row.id: row for row in compare_all(evidence)}
    assert rows["c"].verdict == "not comparable"
    assert "stopped" in rows["c"].note


def test_what_fails_is_not_measured_again_and_its_block_is_not_replaced() -> None:
    machine = Machine({"a": 0.0, "b": 0.0}, losses={0: {"b": FAILED}})
    evidence, _ = screened(machine, SETTINGS)
    assert len(evidence.blocks) == SCHEDULE.blocks
    assert [request.benchmarks for request in machine.requests[1:]] == [("a",)] * 3
    assert set(evidence.screened()) == {"a"}


def test_what_a_side_does_not_even_collect_is_lost() -> None:
    machine = Machine({"a": 0.0, "b": 0.0}, absent=frozenset({"b"}))
    evidence, _ = screened(machine, SETTINGS)
    lost = Loss("baseline", "collect", "missing", "it is not collected there")
    assert evidence.losses == evidence.blocks[0].lost == {"b": lost}


def test_a_screen_in_which_everything_is_lost_ends() -> None:
    machine = Machine({"a": 0.0}, losses={0: {"a": FAILED}})
    evidence, _ = screened(machine, SETTINGS)
    assert len(evidence.blocks) == 1
    assert evidence.screened() == {}


def test_what_was_lost_before_the_run_is_never_measured() -> None:
    machine = Machine({"a": 0.0, "b": 0.0})
    evidence = Evidence(SETTINGS, ("a", "b"), losses={"a": FAILED})
    budget = Budget(UNLIMITED, machine.clock)
    drive(screen(evidence, budget, SCHEDULE), machine.measure, evidence)
    assert {request.benchmarks for request in machine.requests} == {("b",)}


# Confirming


def test_only_what_is_suspicious_is_confirmed_on_fresh_blocks() -> None:
    machine = Machine({"a": 0.0, "b": SLOW, "c": -SLOW, "d": 0.0})
    evidence, _ = confirmed(machine)
    assert [request.benchmarks for request in machine.confirming()] == [("b", "c")] * FEWEST_BLOCKS
    directions = {name: suspect.direction for name, suspect in evidence.suspects.items()}
    assert directions == {"b": "slower", "c": "faster"}
    assert {name: result.rejected for name, result in evidence.tested.items()} == {
        "b": True,
        "c": True,
    }
    assert evidence.tested["b"].blocks == FEWEST_BLOCKS


def test_nothing_suspicious_means_nothing_to_confirm() -> None:
    machine = Machine({"a": 0.0})
    evidence, _ = confirmed(machine)
    assert machine.confirming() == []
    assert evidence.tested == {}


def test_after_failed_controls_nothing_is_confirmed() -> None:
    machine = Machine({"a": SLOW}, canary=0.0)
    evidence, _ = confirmed(machine)
    assert evidence.controls().problems
    assert machine.confirming() == []
    assert (evidence.suspects, evidence.tested) == ({}, {})


def test_checks_that_failed_in_few_blocks_are_measured_in_more() -> None:
    machine = Machine({"a": SLOW}, canaries={0: 0.1, 2: 0.2, 3: 0.1})
    evidence, _ = screened(machine, SETTINGS)
    checks = [request for request in machine.requests if request.stage == "check"]
    assert len(checks) == 2 * SCHEDULE.blocks
    assert {request.benchmarks for request in checks} == {()}
    assert evidence.controls().problems == []
    drive(confirm(evidence, Budget(UNLIMITED, machine.clock), SCHEDULE), machine.measure, evidence)
    assert evidence.tested["a"].rejected


def test_checks_that_fail_in_all_blocks_remain_failed() -> None:
    machine = Machine({"a": SLOW}, canary=0.0)
    evidence, _ = screened(machine, SETTINGS)
    stages = [request.stage for request in machine.requests]
    assert stages == ["screen"] * SCHEDULE.blocks + ["check"] * 2 * SCHEDULE.blocks
    assert evidence.controls().problems


def test_failed_checks_are_measured_again_only_within_the_budget() -> None:
    machine = Machine({"a": SLOW}, canary=0.0)
    block = 2.1
    evidence, _ = screened(machine, SETTINGS, seconds=(SCHEDULE.blocks + 1.5) * block)
    stages = [request.stage for request in machine.requests]
    assert stages == ["screen"] * SCHEDULE.blocks + ["check"]
    assert evidence.controls().problems


@pytest.mark.parametrize(("suspects", "factor"), [(1, 3.0), (3, 3.0), (5, 2.0), (12, 1.0)])
def test_few_suspects_get_more_seconds_in_each_block(suspects: int, factor: float) -> None:
    machine = Machine(dict.fromkeys(map(str, range(suspects)), SLOW))
    confirmed(machine)
    for request in machine.confirming():
        assert request.seconds == pytest.approx(factor * SCHEDULE.confirm_seconds)


def test_a_suspect_leaves_after_its_planned_number_of_blocks() -> None:
    machine = Machine({"quiet": SLOW, "noisy": 0.05}, values={("screen", "noisy"): NOISY * 2})
    evidence, _ = confirmed(machine)
    quiet, noisy_one = evidence.suspects["quiet"], evidence.suspects["noisy"]
    assert (quiet.planned, noisy_one.planned) == (FEWEST_BLOCKS, MOST_BLOCKS)
    requested = [request.benchmarks for request in machine.confirming()]
    assert requested[:FEWEST_BLOCKS] == [("quiet", "noisy")] * FEWEST_BLOCKS
    assert requested[FEWEST_BLOCKS:] == [("noisy",)] * (MOST_BLOCKS - FEWEST_BLOCKS)


def test_a_crash_while_confirming_is_replaced_and_counts_among_the_tests() -> None:
    first = SCHEDULE.blocks
    machine = Machine({"a": SLOW, "b": SLOW}, losses={first + 3: {"b": CRASHED}})
    evidence, _ = confirmed(machine)
    assert len(machine.confirming()) == FEWEST_BLOCKS + 1
    assert evidence.tested["a"].blocks == FEWEST_BLOCKS + 1
    assert evidence.tested["b"].blocks == 0
    # The lost suspect still takes its part of the error rate.
    assert evidence.tested["a"].limit == SETTINGS.alpha / 2 / 2


CONFIRM_SECONDS = 2.0 + 3 * 0.2
"""Seconds of a confirming block with one suspect on the made-up machine."""


def test_a_short_budget_takes_fewer_blocks_if_these_can_reject() -> None:
    machine = Machine({"a": 0.05}, values={("screen", "a"): NOISY * 2})
    evidence, _ = confirmed(machine, seconds=20.5 * CONFIRM_SECONDS)
    assert evidence.suspects["a"].planned == MOST_BLOCKS
    assert len(machine.confirming()) == 20
    assert evidence.tested["a"].rejected
    assert evidence.warnings == []


def test_a_shorter_budget_cuts_what_is_timed_so_that_the_fewest_blocks_fit() -> None:
    machine = Machine({"a": SLOW})
    evidence, budget = confirmed(machine, seconds=7.7 * CONFIRM_SECONDS)
    first, *others = [request.seconds for request in machine.confirming()]
    assert 1 + len(others) == 8  # 2^-8 is below half a percent
    assert all(0.2 * first <= seconds <= first for seconds in others)
    assert others[0] < first
    assert evidence.tested["a"].rejected
    assert budget.remaining() >= 0
    assert evidence.warnings == []


def test_blocks_grow_again_if_one_takes_less_than_the_last() -> None:
    machine = Machine({"a": SLOW}, pauses={SCHEDULE.blocks: 3.0})
    confirmed(machine, seconds=44.0)
    seconds = [request.seconds for request in machine.confirming()]
    assert seconds[1] < seconds[0]
    assert seconds[2:] == pytest.approx([seconds[0]] * 6)


def test_a_suspicion_that_the_budget_cannot_confirm_is_advice_in_a_warning() -> None:
    machine = Machine({"a": SLOW})
    evidence, _ = confirmed(machine, seconds=2 * CONFIRM_SECONDS)
    assert len(machine.confirming()) == 1
    assert evidence.tested == {}
    assert pytest.approx(31.2) == FEWEST_BLOCKS * CONFIRM_SECONDS
    (warning,) = evidence.warnings
    assert warning == (
        "1 suspicious benchmark could not be confirmed: that takes 12 blocks, 31 s in all, and the "
        "budget is 5 s; give --budget 40s"
    )


def test_the_advised_budget_suffices() -> None:
    machine = Machine({"a": SLOW})
    confirmed(machine, seconds=40.0)
    assert len(machine.confirming()) == FEWEST_BLOCKS


def test_a_budget_that_ends_while_confirming_is_one_warning() -> None:
    machine = Machine({"a": SLOW}, pauses={SCHEDULE.blocks + 2: 100.0})
    evidence, _ = confirmed(machine, seconds=100.0)
    assert len(machine.confirming()) == 3
    assert evidence.warnings == [
        "the budget of 100 s ended in the stage 'confirm' after 3 of 12 blocks"
    ]
    assert evidence.tested["a"].blocks == 3
    assert not evidence.tested["a"].rejected


# The second look


def test_a_near_miss_gets_as_many_blocks_as_there_may_be_and_a_second_look() -> None:
    machine = Machine({"a": 0.03, "b": SLOW}, values={("confirm", "a"): NEAR_MISS})
    evidence, blocks = looked_twice(machine)
    assert blocks == MOST_BLOCKS - FEWEST_BLOCKS
    assert all(request.benchmarks == ("a",) for request in machine.requests[-blocks:])
    assert evidence.suspects["a"].planned == evidence.tested["a"].blocks == MOST_BLOCKS
    assert evidence.tested["a"].rejected
    # What was decided at the first look remains.
    assert evidence.tested["b"].blocks == FEWEST_BLOCKS


def test_the_first_look_is_the_one_that_nearly_rejects() -> None:
    machine = Machine({"a": 0.03}, values={("confirm", "a"): NEAR_MISS})
    evidence, _ = confirmed(machine)
    assert not evidence.tested["a"].rejected
    assert SETTINGS.alpha / 2 < evidence.tested["a"].p <= 0.1


def test_the_second_look_gets_the_blocks_that_the_budget_has_time_for() -> None:
    machine = Machine({"a": 0.03}, values={("confirm", "a"): NEAR_MISS})
    evidence, blocks = looked_twice(machine, seconds=5.5 * CONFIRM_SECONDS)
    assert blocks == 5
    assert evidence.tested["a"].blocks == FEWEST_BLOCKS + 5
    assert evidence.suspects["a"].planned == MOST_BLOCKS
    assert evidence.warnings == []


def test_without_a_near_miss_there_is_no_second_look() -> None:
    _, blocks = looked_twice(Machine({"a": SLOW, "b": -SLOW}))
    assert blocks == 0


# Progress


def test_progress_counts_the_blocks_of_a_stage_and_estimates_the_time_left() -> None:
    machine = Machine({"a": 0.0, "b": SLOW})
    confirmed(machine)
    screening = [request.progress for request in machine.requests[: SCHEDULE.blocks]]
    assert [progress.done for progress in screening] == [0, 1, 2, 3]
    assert {(progress.stage, progress.of) for progress in screening} == {("screen", 4)}
    assert screening[0].seconds_left is None
    assert screening[1].seconds_left == pytest.approx(3 * 2.2)
    confirming = [request.progress for request in machine.confirming()]
    assert [progress.done for progress in confirming] == list(range(FEWEST_BLOCKS))
    assert {(progress.stage, progress.of) for progress in confirming} == {("confirm", 12)}
    assert confirming[-1].seconds_left == pytest.approx(CONFIRM_SECONDS)


def test_progress_names_what_is_measured_again_and_why() -> None:
    machine = Machine(
        {"a": 0.05, "b": 0.03},
        values={("screen", "a"): NOISY * 2, ("confirm", "b"): NEAR_MISS},
    )
    looked_twice(machine)
    stages = list(dict.fromkeys(request.progress.stage for request in machine.requests))
    assert stages[0] == "screen"
    assert stages[1] == "screen 1 unclear benchmark, 1"
    assert stages[-2:] == ["confirm", "second look at 1 near miss"]
    last = machine.requests[-1].progress
    assert (last.done, last.of) == (15, 16)


def test_a_plan_is_the_same_for_sides_that_are_exchanged() -> None:
    there = Machine({"a": 2 * SLOW, "b": -2 * SLOW})
    back = Machine({"a": -2 * SLOW, "b": 2 * SLOW})
    confirmed(there)
    confirmed(back)
    assert [request.benchmarks for request in there.requests] == [
        request.benchmarks for request in back.requests
    ]
    assert math.isclose(there.now, back.now)
