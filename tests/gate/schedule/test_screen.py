"""The screen, with made-up blocks and a made-up clock: no process starts, and nothing waits."""

from __future__ import annotations

import pytest

from flopline.gate.record import Loss
from flopline.gate.run import compare_all, drive
from flopline.gate.schedule.budget import Budget
from flopline.gate.schedule.evidence import ENOUGH_AGAIN, Evidence
from flopline.gate.schedule.screen import screen
from tests.gate.support.machine import (
    CRASHED,
    FAILED,
    QUADS,
    SCHEDULE,
    STOPPED,
    UNLIMITED,
    Machine,
    screened,
)
from tests.gate.support.schedules import LANES, SETTINGS, Values

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


def test_what_is_unclear_is_screened_again_in_longer_blocks() -> None:
    unclear = [0.0, 0.03, -0.03, 0.03]
    machine = Machine({"a": 0.0, "b": 0.0}, values={("screen", "b"): [*unclear, 0.0]})
    screened(machine, SETTINGS)
    again = machine.requests[SCHEDULE.blocks :]
    assert SCHEDULE.blocks <= len(again) <= 3 * SCHEDULE.blocks
    for request in again:
        assert (request.stage, request.benchmarks) == ("again", ("b",))
        assert 2 * QUADS <= request.quads["b"] <= 12 * QUADS
        assert not request.controls


def test_what_was_screened_again_is_judged_by_its_longer_blocks_alone() -> None:
    unclear = [0.0, 0.03, -0.03, 0.03]
    machine = Machine({"b": 0.0}, values={("screen", "b"): [*unclear, 0.001, 0.002] * 3})
    evidence, _ = screened(machine, SETTINGS)
    judged = evidence.screening()["b"]
    assert judged == evidence.quads("again")["b"]
    assert len(judged) >= ENOUGH_AGAIN


def test_what_the_budget_left_of_the_longer_blocks_is_judged_with_the_others() -> None:
    values: Values = {("screen", "b"): [0.0, 0.03, -0.03, 0.0] * 2}
    machine = Machine({"b": 0.0}, values=values, pauses={SCHEDULE.blocks: 80.0})
    evidence, _ = screened(machine, SETTINGS, seconds=100.0)
    again = evidence.quads("again")["b"]
    assert 0 < len(again) < ENOUGH_AGAIN
    assert evidence.screening()["b"] == evidence.quads("screen")["b"] + again


def test_quads_that_scatter_get_more_quads_and_pairs_that_differ_more_blocks() -> None:
    names = "abcdef"
    scattering = Machine(dict.fromkeys(names, 0.0), scatter=0.07)
    screened(scattering, SETTINGS)
    more_quads = scattering.requests[SCHEDULE.blocks]
    assert max(more_quads.quads.values()) > 2 * QUADS

    differing = Machine(dict.fromkeys(names, 0.0), sigma=0.016)
    screened(differing, SETTINGS)
    more_blocks = differing.requests[SCHEDULE.blocks]
    assert set(more_blocks.quads.values()) == {2 * QUADS}
    assert len(differing.requests) > len(scattering.requests)


def test_what_no_number_of_blocks_makes_clear_gets_few_of_them() -> None:
    machine = Machine(dict.fromkeys("abcdef", 0.0), sigma=0.2)
    screened(machine, SETTINGS)
    assert len(machine.requests) == 3 * SCHEDULE.blocks


def test_blocks_are_screened_side_by_side_where_there_are_cpus() -> None:
    machine = Machine({"a": 0.0, "b": 0.0})
    evidence, _ = screened(machine, SETTINGS, schedule=LANES)
    assert len(evidence.blocks) == SCHEDULE.blocks
    assert machine.now == pytest.approx(SCHEDULE.blocks / 2 * 2.2)
    assert not any(request.alone for request in machine.requests)


def test_what_needs_all_cpus_is_measured_alone_in_as_many_blocks() -> None:
    machine = Machine({"a": 0.0, "b": 0.0}, wide=frozenset("b"))
    evidence, _ = screened(machine, SETTINGS, schedule=LANES)
    assert {name: len(blocks) for name, blocks in evidence.quads("screen").items()} == {
        "a": SCHEDULE.blocks,
        "b": SCHEDULE.blocks,
    }
    alone = [request for request in machine.requests if request.alone]
    assert [request.benchmarks for request in alone] == [("b",)] * SCHEDULE.blocks


def test_the_screen_leaves_half_of_the_budget_and_what_is_too_slow_for_it() -> None:
    machine = Machine({"a": 0.0, "b": 0.0, "c": 0.0}, slow={"b": 30.0})
    evidence, budget = screened(machine, SETTINGS, seconds=120.0)
    assert budget.remaining(0.5) >= 0
    assert evidence.unaffordable == {"b": pytest.approx(96.0)}
    assert len(evidence.quads("screen")["a"]) == SCHEDULE.blocks
    assert len(evidence.quads("screen")["b"]) == 1
    rows = {row.id: row for row in compare_all(evidence)}
    assert (rows["a"].verdict, rows["b"].verdict) == ("unchanged", "inconclusive")


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
