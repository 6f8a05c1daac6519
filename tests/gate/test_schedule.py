"""Pacing with made-up blocks and a made-up clock: no process starts, and nothing waits."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from flopline.gate.judge.betting import fewest_to_reject
from flopline.gate.judge.verdict import FEW_TO_GIVE_UP, MOST_BLOCKS
from flopline.gate.record import Loss, Settings, Stage
from flopline.gate.run import compare_all, drive
from flopline.gate.schedule import (
    ENOUGH_AGAIN,
    SHORTEST_SECONDS,
    SPARE_FOR_IMPROVEMENTS,
    Budget,
    Evidence,
    Schedule,
    confirm,
    screen,
)
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

SETTINGS = Settings(detect=0.03)
Values = dict[tuple[Stage, str], list[float]]
SLOW = 0.1
"""A log-ratio far beyond suspicion."""
DOUBTFUL = 0.025
"""A log-ratio that is suspicious, and takes many blocks to confirm."""
LANES = replace(SCHEDULE, lanes=2)
FEWEST = fewest_to_reject(1, SETTINGS)


def confirmed(
    machine: Machine, *, seconds: float = UNLIMITED, schedule: Schedule = SCHEDULE
) -> tuple[Evidence, Budget]:
    """Returns the evidence after the confirm stage, and its budget, which began with the stage."""
    evidence, _ = screened(machine, SETTINGS, schedule=schedule)
    budget = Budget(seconds, machine.clock)
    drive(confirm(evidence, budget, schedule), machine.measure, evidence)
    return evidence, budget


# How much is measured


def test_a_fine_slowdown_takes_more_and_longer_blocks() -> None:
    fine = Schedule.of(Settings(detect=0.02))
    coarse = Schedule.of(Settings(detect=0.03))
    assert fine.blocks > coarse.blocks
    assert fine.screen_seconds > coarse.screen_seconds
    assert fine.confirm_seconds > coarse.confirm_seconds


# What blocks cost


def test_a_block_costs_its_start_and_what_its_benchmarks_took_before() -> None:
    machine = Machine({"a": 0.0, "b": 0.0}, start=2.0, slow={"b": 5.0})
    evidence, _ = screened(machine, SETTINGS)
    assert evidence.costs.of_block((), 0.1) == pytest.approx(2.0)
    assert evidence.costs.of_block(["b"], 0.1) == pytest.approx(7.0)
    assert evidence.costs.of_block(["a", "b"], 0.3) == pytest.approx(7.4, abs=0.2)


def test_a_budget_begins_when_it_is_made_and_ends_after_its_seconds() -> None:
    machine = Machine({"a": 0.0}, now=50.0)
    _, budget = screened(machine, SETTINGS, seconds=100.0)
    assert budget.spent() == pytest.approx(4 * 2.1)
    assert budget.remaining() == pytest.approx(100 - 4 * 2.1)
    assert budget.remaining(0.5) == pytest.approx(50 - 4 * 2.1)


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


# Confirming


def test_only_what_is_suspicious_is_confirmed_on_fresh_blocks_slower_first() -> None:
    machine = Machine({"a": 0.0, "b": SLOW, "c": -SLOW, "d": 0.0})
    evidence, _ = confirmed(machine)
    requested = [request.benchmarks for request in machine.confirming()]
    assert requested == [("b",)] * FEWEST + [("c",)] * FEWEST
    directions = {name: suspect.direction for name, suspect in evidence.suspects.items()}
    assert directions == {"b": "slower", "c": "faster"}
    assert evidence.tested["b"].rejected
    assert evidence.tested["c"].rejected
    assert not any(request.controls for request in machine.confirming())


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
    evidence, _ = screened(machine, SETTINGS, seconds=(2 * SCHEDULE.blocks + 1.5) * block)
    stages = [request.stage for request in machine.requests]
    assert stages == ["screen"] * SCHEDULE.blocks + ["check"] * (SCHEDULE.blocks + 1)
    assert evidence.controls().problems


def test_the_obvious_is_told_after_the_fewest_short_blocks() -> None:
    noisy = [0.1, -0.03, 0.12, 0.0]
    machine = Machine(
        {"obvious": 1.0, "noisy": 0.0},
        values={("screen", "noisy"): noisy * 4, ("confirm", "noisy"): [0.1, -0.05] * 14},
    )
    evidence, _ = confirmed(machine)
    assert set(evidence.suspects) == {"obvious", "noisy"}
    fewest = fewest_to_reject(2, SETTINGS)
    first = machine.confirming()[:fewest]
    assert [request.benchmarks for request in first] == [("obvious",)] * fewest
    assert {request.seconds for request in first} == {SHORTEST_SECONDS}
    assert evidence.tested["obvious"].rejected


def test_a_suspicion_that_is_plainly_wrong_is_given_up_early() -> None:
    values = [0.02, 0.021, 0.022, 0.02]
    machine = Machine({"a": 0.0}, values={("screen", "a"): values * 2})
    evidence, _ = confirmed(machine)
    assert len(machine.confirming()) < FEWEST
    assert compare_all(evidence)[0].verdict == "unchanged"


def test_a_suspicion_that_no_blocks_could_confirm_is_given_up_undecided() -> None:
    noisy = [0.08, -0.03, 0.09, 0.0]
    values: Values = {("screen", "a"): noisy * 4, ("confirm", "a"): [0.08, -0.06, 0.07, -0.05] * 7}
    machine = Machine({"a": 0.0}, values=values)
    evidence, _ = confirmed(machine)
    assert evidence.suspects["a"].direction == "slower"
    assert FEW_TO_GIVE_UP <= len(machine.confirming()) < MOST_BLOCKS / 2
    (row,) = compare_all(evidence)
    assert (row.verdict, row.planned) == ("inconclusive", row.blocks)
    assert evidence.warnings == []


def test_no_suspect_gets_more_blocks_than_there_may_be() -> None:
    machine = Machine({"a": 0.016}, sigma=0.001)
    evidence, _ = confirmed(machine)
    assert len(machine.confirming()) <= MOST_BLOCKS
    machine = Machine({"a": -0.05}, values={("confirm", "a"): [-0.1, 0.05]}, sigma=0.001)
    evidence, _ = confirmed(machine)
    assert evidence.suspects["a"].direction == "faster"
    assert len(machine.confirming()) <= FEWEST + SPARE_FOR_IMPROVEMENTS


def test_confirming_blocks_are_measured_side_by_side_and_wide_ones_alone() -> None:
    machine = Machine({"a": SLOW, "b": SLOW}, wide=frozenset("b"))
    evidence, _ = confirmed(machine, schedule=LANES)
    beside = [request for request in machine.confirming() if not request.alone]
    alone = [request for request in machine.confirming() if request.alone]
    assert {request.benchmarks for request in beside} == {("a",)}
    assert {request.benchmarks for request in alone} == {("b",)}
    assert len(beside) % 2 == 0
    assert evidence.tested["a"].rejected
    assert evidence.tested["b"].rejected


def test_a_suspect_that_is_lost_still_counts_among_the_tests() -> None:
    first = SCHEDULE.blocks
    machine = Machine({"a": SLOW, "b": SLOW}, losses={first + 3: {"b": CRASHED}})
    evidence, _ = confirmed(machine)
    assert evidence.tested["b"].blocks == 0
    assert evidence.tested["a"].rejected
    assert evidence.tested["a"].limit == SETTINGS.alpha / 2


@pytest.mark.parametrize(("suspects", "factor"), [(1, 3.0), (3, 3.0), (5, 2.0), (12, 1.0)])
def test_few_doubtful_suspects_get_more_seconds_in_each_block(suspects: int, factor: float) -> None:
    names = list(map(str, range(suspects)))
    shown = [0.02, 0.026, 0.028, 0.034]
    values: Values = {("screen", name): shown * 4 for name in names}
    machine = Machine(dict.fromkeys(names, DOUBTFUL), values=values, sigma=0.01)
    evidence, _ = confirmed(machine)
    assert len(evidence.suspects) == suspects
    assert not any(suspect.obvious for suspect in evidence.suspects.values())
    first = machine.confirming()[0]
    assert first.seconds == pytest.approx(factor * SCHEDULE.confirm_seconds)


# A budget that ends


def test_a_short_budget_shortens_the_blocks_before_it_gives_anything_up() -> None:
    machine = Machine({"a": DOUBTFUL}, sigma=0.011, start=0.1)
    whole = Machine({"a": DOUBTFUL}, sigma=0.011, start=0.1)
    confirmed(whole)
    confirmed(machine, seconds=4.0)
    assert machine.confirming()[0].seconds < whole.confirming()[0].seconds


def test_what_was_confirmed_stays_confirmed_when_the_time_runs_out() -> None:
    values: Values = {("screen", "slow"): [0.03, 0.1, -0.02, 0.04] * 2}
    machine = Machine({"obvious": 1.0, "slow": 0.03}, values=values, slow={"slow": 10.0})
    evidence, _ = confirmed(machine, seconds=40.0)
    assert evidence.tested["obvious"].rejected
    assert not evidence.tested["slow"].rejected
    rows = {row.id: row for row in compare_all(evidence)}
    assert (rows["obvious"].verdict, rows["slow"].verdict) == ("regressed", "inconclusive")
    assert rows["slow"].blocks < rows["slow"].planned
    assert len(evidence.warnings) == 1


def test_a_suspicion_that_the_budget_cannot_confirm_is_advice_in_a_warning() -> None:
    machine = Machine({"a": SLOW})
    evidence, _ = confirmed(machine, seconds=5.0)
    assert machine.confirming() == []
    (warning,) = evidence.warnings
    assert warning.startswith(
        "the budget of 5 s ended before 1 benchmark that looked slower could be confirmed; that "
        "takes about"
    )


def test_the_advised_budget_suffices() -> None:
    machine = Machine({"a": SLOW})
    evidence, _ = confirmed(machine, seconds=5.0)
    advised = float(evidence.warnings[0].rpartition("--budget ")[2].removesuffix("s"))
    machine = Machine({"a": SLOW})
    evidence, _ = confirmed(machine, seconds=advised)
    assert evidence.tested["a"].rejected


def test_improvements_come_last_so_that_they_never_use_up_the_time() -> None:
    changes = {f"faster{number}": -SLOW for number in range(20)}
    machine = Machine({**changes, "slower": SLOW})
    evidence, _ = confirmed(machine, seconds=25.0)
    assert evidence.tested["slower"].rejected
    assert machine.confirming()[0].benchmarks == ("slower",)


def test_a_benchmark_that_was_never_measured_is_named_and_inconclusive() -> None:
    machine = Machine({"a": 0.0, "b": 0.0}, wide=frozenset("b"), slow={"b": 30.0}, start=20.0)
    evidence, _ = screened(machine, SETTINGS, seconds=80.0, schedule=LANES)
    rows = {row.id: row for row in compare_all(evidence)}
    assert set(rows) == {"a", "b"}
    assert (rows["b"].verdict, rows["b"].change) == ("inconclusive", None)
    assert "too slow for the budget" in rows["b"].note


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
    assert [progress.done for progress in confirming] == list(range(FEWEST))
    assert confirming[0].stage == "confirm 1 slower benchmark"


# Simulated runs


@pytest.mark.parametrize("sigma", [0.004, 0.008])
def test_a_suite_of_simulated_benchmarks_gets_the_right_verdicts(sigma: float) -> None:
    changes = dict.fromkeys(map(str, range(26)), 0.0)
    slower = dict.fromkeys(map(str, range(26, 31)), math.log1p(0.03))
    machine = Machine(changes | slower, sigma=sigma)
    evidence, _ = confirmed(machine, schedule=LANES)
    verdicts = {row.id: row.verdict for row in compare_all(evidence)}
    assert {verdicts[name] for name in changes} == {"unchanged"}
    assert {verdicts[name] for name in slower} == {"regressed"}


def test_work_that_is_no_longer_done_in_parallel_is_found_by_the_wall_clock() -> None:
    machine = Machine({"a": 0.0, "b": 0.0}, parallel={"a": 0.5, "b": 0.0})
    evidence, _ = confirmed(machine)
    rows = {row.id: row for row in compare_all(evidence)}
    assert (rows["a"].verdict, rows["a"].clock) == ("regressed", "wall")
    assert (rows["b"].verdict, rows["b"].clock) == ("unchanged", "process")
