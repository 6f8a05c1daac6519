"""Confirming, with made-up blocks and a made-up clock."""

from __future__ import annotations

import pytest

from flopline.gate.judge.betting import fewest_to_reject
from flopline.gate.judge.verdict import FEW_TO_GIVE_UP, MOST_BLOCKS
from flopline.gate.run import compare_all, drive
from flopline.gate.schedule.budget import Budget
from flopline.gate.schedule.confirm import SHORTEST_SECONDS, confirm
from flopline.gate.schedule.suspects import SPARE_FOR_IMPROVEMENTS
from tests.gate.support.machine import CRASHED, SCHEDULE, UNLIMITED, Machine, screened
from tests.gate.support.schedules import DOUBTFUL, FEWEST, LANES, SETTINGS, SLOW, Values, confirmed

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
