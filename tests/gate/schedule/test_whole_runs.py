"""Whole runs of simulated benchmarks."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from flopline.gate.rules import Rule
from flopline.gate.run import compare_all
from tests.gate.support.machine import SCHEDULE, Machine
from tests.gate.support.schedules import LANES, SETTINGS, confirmed


@pytest.mark.parametrize("sigma", [0.004, 0.008])
def test_a_suite_of_simulated_benchmarks_gets_the_right_verdicts(sigma: float) -> None:
    changes = dict.fromkeys(map(str, range(26)), 0.0)
    slower = dict.fromkeys(map(str, range(26, 31)), math.log1p(0.03))
    machine = Machine(changes | slower, sigma=sigma)
    evidence, _ = confirmed(machine, schedule=LANES)
    verdicts = {row.id: row.verdict for row in compare_all(evidence)}
    assert {verdicts[name] for name in changes} == {"unchanged"}
    assert {verdicts[name] for name in slower} == {"regressed"}


def test_every_benchmark_is_judged_by_its_own_detect() -> None:
    rules = (Rule("fine*", detect=0.01), Rule("coarse*", detect=0.2))
    changes: dict[str, float] = {}
    for name in ("fine", "usual", "coarse"):
        changes |= {f"{name}[1]": math.log1p(0.012), f"{name}[5]": math.log1p(0.05)}
    evidence, _ = confirmed(Machine(changes), settings=replace(SETTINGS, rules=rules))
    rows = {row.id: row for row in compare_all(evidence)}
    assert {name: row.verdict for name, row in rows.items()} == {
        "fine[1]": "regressed",
        "fine[5]": "regressed",
        "usual[1]": "unchanged",
        "usual[5]": "regressed",
        "coarse[1]": "unchanged",
        "coarse[5]": "unchanged",
    }
    found = [rows[f"{name}[1]"].detectable or math.nan for name in ("fine", "usual", "coarse")]
    assert 0.005 < found[0] <= 0.01 < found[1] <= 0.03 < found[2] <= 0.2


def test_what_is_clear_to_its_own_detect_is_not_screened_again() -> None:
    machine = Machine({"a": 0.0, "b": 0.0}, sigma=0.02)
    settings = replace(SETTINGS, rules=(Rule("b", detect=0.2),))
    evidence, _ = confirmed(machine, settings=settings)
    again = [request.benchmarks for request in machine.requests if request.stage == "again"]
    assert set(again) == {("a",)}
    (_, row) = compare_all(evidence)
    assert (row.id, row.verdict, row.blocks) == ("b", "unchanged", SCHEDULE.blocks)


def test_a_second_clock_asks_less_than_the_benchmarks_own_detect() -> None:
    lost = math.log1p(0.4)
    machine = Machine({"a": 0.0, "b": 0.0}, parallel={"a": lost, "b": lost})
    settings = replace(SETTINGS, rules=(Rule("b", detect=0.5),))
    evidence, _ = confirmed(machine, settings=settings)
    assert evidence.suspects["a"].settings.detect == 0.1
    rows = {row.id: row for row in compare_all(evidence)}
    assert (rows["a"].verdict, rows["a"].clock) == ("regressed", "wall")
    assert (rows["b"].verdict, rows["b"].clock) == ("unchanged", "process")


def test_work_that_is_no_longer_done_in_parallel_is_found_by_the_wall_clock() -> None:
    machine = Machine({"a": 0.0, "b": 0.0}, parallel={"a": 0.5, "b": 0.0})
    evidence, _ = confirmed(machine)
    rows = {row.id: row for row in compare_all(evidence)}
    assert (rows["a"].verdict, rows["a"].clock) == ("regressed", "wall")
    assert (rows["b"].verdict, rows["b"].clock) == ("unchanged", "process")
