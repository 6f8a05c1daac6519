"""What tests of the schedule have in common: a suite after its confirm stage, and log-ratios."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from flopline.gate.judge.betting import fewest_to_reject
from flopline.gate.record import Settings, Stage
from flopline.gate.run import drive
from flopline.gate.schedule.budget import Budget
from flopline.gate.schedule.confirm import confirm
from tests.gate.support.machine import SCHEDULE, UNLIMITED, Machine, screened

if TYPE_CHECKING:
    from flopline.gate.schedule.evidence import Evidence
    from flopline.gate.schedule.plan import Schedule

SETTINGS = Settings(detect=0.03)
Values = dict[tuple[Stage, str], list[float]]
SLOW = 0.1
"""A log-ratio far beyond suspicion."""
DOUBTFUL = 0.025
"""A log-ratio that is suspicious, and takes many blocks to confirm."""
LANES = replace(SCHEDULE, lanes=2)
FEWEST = fewest_to_reject(1, SETTINGS)


def confirmed(
    machine: Machine,
    *,
    seconds: float = UNLIMITED,
    schedule: Schedule = SCHEDULE,
    settings: Settings = SETTINGS,
) -> tuple[Evidence, Budget]:
    """Returns the evidence after the confirm stage, and its budget, which began with the stage."""
    evidence, _ = screened(machine, settings, schedule=schedule)
    budget = Budget(seconds, machine.clock)
    drive(confirm(evidence, budget, schedule), machine.measure, evidence)
    return evidence, budget
