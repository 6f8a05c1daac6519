"""The value of every block, per benchmark, as its verdict rests on it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flopline.gate.judge import verdict
from flopline.gate.judge.clock import second_clock
from flopline.gate.record import BlockValue
from flopline.gate.schedule.evidence import Evidence

if TYPE_CHECKING:
    from flopline.gate.record import Clock, GateRecord, Quad, Stage


def block_values(record: GateRecord) -> dict[str, list[BlockValue]]:
    """Returns the values of each benchmark's blocks by its node id, the screen's first.

    They are those on which the verdict rests: by its clock, and of confirming blocks only where
    these decided. A record that was joined of parts has them, because its blocks have no batches
    any more.
    """
    if record.values:
        return record.values
    evidence = Evidence(record.settings, ())
    evidence.blocks = record.blocks
    of_own_clock = Measured.of(evidence, parallel=False)
    of_second_clock = Measured.of(evidence, parallel=True)
    values = {}
    for row in record.comparisons:
        if row.clock is None or row.stage is None:
            continue
        measured = of_own_clock
        if of_second_clock.screen.get(row.id):
            quads = list(itertools.chain.from_iterable(of_own_clock.screen.get(row.id, [])))
            if row.clock == second_clock(quads, record.settings.for_benchmark(row.id)):
                measured = of_second_clock
        found = _values("screen", measured.screen.get(row.id, []), row.clock)
        if row.stage == "confirm":
            found += _values("confirm", measured.confirm.get(row.id, []), row.clock)
        values[row.id] = found
    return values


@dataclass(frozen=True)
class Measured:
    """The quads of each benchmark, per block.

    Attributes:
        screen: Those by which the screen judges.
        confirm: Those of the confirming blocks.
    """

    screen: dict[str, list[list[Quad]]]
    confirm: dict[str, list[list[Quad]]]

    @classmethod
    def of(cls, evidence: Evidence, *, parallel: bool) -> Measured:
        """Returns what was measured, on all CPUs or on one."""
        screen = evidence.screening(parallel=parallel)
        return cls(screen, evidence.quads("confirm", parallel=parallel))


def _values(stage: Stage, blocks: list[list[Quad]], clock: Clock) -> list[BlockValue]:
    return [BlockValue(stage, value) for value in verdict.block_values(blocks, clock)]
