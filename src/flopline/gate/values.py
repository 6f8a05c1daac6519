"""The value of every block, per benchmark, as its verdict rests on it."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from flopline.gate.judge.clock import block_value, second_clock
from flopline.gate.record import BlockValue
from flopline.gate.schedule import Evidence

if TYPE_CHECKING:
    from flopline.gate.record import Clock, Comparison, GateRecord, Quad, Stage

STAGES: tuple[Stage, ...] = ("screen", "confirm")
"""The stages in which benchmarks are measured, in their order."""


def block_values(record: GateRecord) -> dict[str, list[BlockValue]]:
    """Returns the values of each benchmark's blocks by its node id, the screen's first.

    They are measured by the clock on which the verdict rests, up to the stage that decided. A
    record that was joined of parts has them, because its blocks have no batches any more.
    """
    if record.values:
        return record.values
    evidence = Evidence(record.settings, ())
    evidence.blocks = record.blocks
    by_stage = {stage: evidence.quads(stage) for stage in STAGES}
    on_all_cpus = {stage: evidence.quads(stage, parallel=True) for stage in STAGES}
    values = {}
    for row in record.comparisons:
        if row.clock is None or row.stage is None:
            continue
        has_second = bool(on_all_cpus["screen"].get(row.id))
        screened = by_stage["screen"].get(row.id, [])
        is_by_second = has_second and _is_second(row, screened, record)
        measured = on_all_cpus if is_by_second else by_stage
        stages = STAGES if row.stage == "confirm" else STAGES[:1]
        found = []
        for stage in stages:
            found += _of_stage(stage, measured[stage].get(row.id, []), row.clock)
        values[row.id] = found
    return values


def _is_second(row: Comparison, screened: list[list[Quad]], record: GateRecord) -> bool:
    """Returns whether a verdict rests on the second clock of a benchmark."""
    quads = list(itertools.chain.from_iterable(screened))
    return row.clock == second_clock(quads, record.settings)


def _of_stage(stage: Stage, blocks: list[list[Quad]], clock: Clock) -> list[BlockValue]:
    values = [block_value(quads, clock) for quads in blocks]
    return [BlockValue(stage, value) for value in values if value is not None]
