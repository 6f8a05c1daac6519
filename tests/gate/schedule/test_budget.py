"""What blocks cost, and how a budget ends."""

from __future__ import annotations

import pytest

from tests.gate.support.machine import Machine, screened
from tests.gate.support.schedules import SETTINGS


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
