from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from flopline.gate.parts import join
from flopline.gate.record import Comparison, GateRecord, Part
from flopline.gate.values import block_values
from tests.gate.support.make_records import REGRESSED, SAME, make_block, record_of
from tests.gate.support.samples import quad, slower, timed

if TYPE_CHECKING:
    from flopline.gate.record import Block, Quad, Stage

NAME = REGRESSED.id


def block(stage: Stage, *quads: Quad, **facts: object) -> Block:
    return make_block(stage, 0, quads={NAME: list(quads)}, **facts)


def record(row: Comparison, *blocks: Block) -> GateRecord:
    return replace(record_of([row]), blocks=list(blocks))


def shown(of: GateRecord) -> list[tuple[str, float]]:
    return [(value.stage, round(value.value, 6)) for value in block_values(of)[NAME]]


MEASURED = (
    block("screen", slower(0.03), slower(0.04), slower(0.05)),
    block("confirm", slower(0.06)),
    block("screen", slower(0.02)),
)
CPU = replace(REGRESSED, clock="cpu")


def test_every_block_has_the_median_of_its_log_ratios_and_the_screen_is_first() -> None:
    expected = [("screen", 0.04), ("screen", 0.02), ("confirm", 0.06)]
    assert shown(record(CPU, *MEASURED)) == expected


def test_a_verdict_of_the_screen_rests_on_no_confirming_block() -> None:
    row = replace(CPU, verdict="unchanged", stage="screen")
    assert shown(record(row, *MEASURED)) == [("screen", 0.04), ("screen", 0.02)]


def test_what_was_screened_again_rests_on_its_further_blocks_alone() -> None:
    again = [block("again", slower(0.01 * number)) for number in range(1, 5)]
    row = replace(CPU, verdict="unchanged", stage="screen")
    expected = [("screen", 0.01), ("screen", 0.02), ("screen", 0.03), ("screen", 0.04)]
    assert shown(record(row, *MEASURED, *again)) == expected


def test_a_verdict_by_the_second_clock_rests_on_what_was_timed_on_all_cpus() -> None:
    threads = quad(timed(cpu=1e-3), timed(cpu=1e-3))
    parallel = {NAME: [quad(timed(wall=1.0), timed(wall=2.0))]}
    measured = [block(stage, threads, parallel=parallel) for stage in ("screen", "confirm")]
    by_second = record(replace(CPU, clock="wall"), *measured)
    assert shown(by_second) == [("screen", 0.693147), ("confirm", 0.693147)]
    by_first = record(replace(CPU, clock="process"), *measured)
    assert shown(by_first) == [("screen", 0.0), ("confirm", 0.0)]


def test_what_was_not_measured_has_no_values() -> None:
    assert block_values(record(Comparison(NAME, "not comparable"), *MEASURED)) == {}


def test_a_block_without_readings_has_no_value() -> None:
    idle = timed(cpu=0.0)
    blocks = (block("screen", quad(idle, idle)), block("confirm", slower(0.06)))
    assert shown(record(CPU, *blocks)) == [("confirm", 0.06)]


@pytest.mark.parametrize("parts", [1, 2])
def test_a_joined_record_keeps_the_values_but_no_batches(parts: int) -> None:
    whole = record(CPU, *MEASURED)
    if parts == 1:
        joined = join([("a", whole)])
    else:
        suite = [NAME, SAME.id]
        halves = []
        for number in (1, 2):
            part = Part(number, 2)
            mine = part.share(suite)
            rows = [row for row in (CPU, SAME) if row.id in mine]
            blocks = MEASURED if NAME in mine else ()
            half = replace(
                record_of(rows, settings=whole.settings.for_part(part)),
                blocks=list(blocks),
                suite=suite,
            )
            halves.append((str(number), half))
        joined = join(halves)
    assert not any(quads for one in joined.blocks for quads in one.quads.values())
    assert shown(joined) == shown(whole)
    assert joined.values[NAME] == block_values(whole)[NAME]
