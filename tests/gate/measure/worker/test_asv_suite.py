"""A suite of asv with benchmarks of every form, which real workers discover and measure."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from flopline.gate.measure.block import SIDES, run_block
from flopline.gate.measure.counting import Counted, CountingPair
from flopline.gate.measure.handle import WorkerError
from flopline.gate.measure.pair import list_benchmarks
from flopline.gate.measure.parents import Parents
from flopline.gate.measure.worker.flopline_worker.protocol import CountCalls
from flopline.gate.record import BlockRequest, Settings
from flopline.gate.sides.asv_suite import with_suite
from flopline.progress import Progress
from tests.gate.support.make_sides import make_sides

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flopline.gate.measure.pair import Collected
    from flopline.gate.record import Block
    from flopline.gate.sides.environment import Side

pytest.importorskip("asv_runner", reason="asv suites need asv_runner")

SHAPES = "bench_shapes."
EXITS = f"{SHAPES}Exits.time_exits"
INNER = "inner.bench_inner.time_inner"
VALUES = [f"{SHAPES}Parameters.time_values('{name}', {n})" for name in ("a", "b") for n in (16, 32)]
MEASURED = [
    *(f"{SHAPES}{name}" for name in ("time_function", "Plain.time_method")),
    *VALUES[:3],
    *(f"{SHAPES}{name}" for name in ("Once.time_isolated", "Kept.sampled_kept")),
    *(f"{SHAPES}Cached.time_{name}" for name in ("first", "second", "third")),
    *(f"{SHAPES}{name}" for name in ("Few.time_few", "Own.time_own_timer", "time_folder")),
    INNER,
]
LOST = [VALUES[3], *(f"{SHAPES}{name}" for name in ("time_raises", "time_skipped"))]
SLOW = f"{SHAPES}Slow.time_slow"


class Measured(NamedTuple):
    """What the suite has, and a block of it.

    Attributes:
        sides: The sides.
        collected: What the baseline has.
        block: A block of all benchmarks but the one that ends its worker.
        notes: Why its workers were not forked.
    """

    sides: tuple[Side, Side]
    collected: Collected
    block: Block
    notes: list[str]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    """A block whose workers are forked, where that is possible."""
    folder = tmp_path_factory.mktemp("asv")
    before, before_here = tempfile.tempdir, Path.cwd()
    (folder / "temporary").mkdir()
    tempfile.tempdir = str(folder / "temporary")
    try:
        baseline, candidate = with_suite(make_sides(folder, "asv"), "benchmarks")
        both = list_benchmarks([baseline, candidate], [])
        names = tuple(name for name in both[0].items if name != EXITS)
        with Parents(baseline, candidate) as parents:
            parents.learn([its.imported for its in both])
            block = block_of(baseline, candidate, names, parents)
        yield Measured((baseline, candidate), both[0], block, parents.notes)
        assert not list((folder / "temporary").iterdir())
    finally:
        tempfile.tempdir = before
    assert Path.cwd() == before_here


def block_of(
    baseline: Side, candidate: Side, names: tuple[str, ...], parents: Parents | None = None
) -> Block:
    """Measures a short block."""
    return run_block(
        baseline,
        candidate,
        BlockRequest("screen", names, 0.01, Progress("screen"), controls=False),
        Settings(asv="benchmarks"),
        cpus=sorted(os.sched_getaffinity(0)),
        parents=parents,
    )


def test_all_forms_of_benchmarks_are_discovered(measured: Measured) -> None:
    assert sorted(measured.collected.items) == sorted([*MEASURED, *LOST, SLOW, EXITS])


def test_a_benchmark_has_its_file_and_a_hash_of_its_source(measured: Measured) -> None:
    items = measured.collected.items
    assert items[INNER].file == "benchmarks/inner/bench_inner.py"
    digests = {items[name].digest for name in (*VALUES, INNER)}
    assert len(digests) == 2
    assert "" not in digests


def test_what_has_no_time_to_compare_is_told(measured: Measured) -> None:
    kinds = ("mem_list", "peakmem_list", "timeraw_import", "track_size")
    assert sorted(measured.collected.unpaired) == [f"{SHAPES}Plain.{kind}" for kind in kinds]


def test_a_module_that_cannot_be_imported_costs_no_other(measured: Measured) -> None:
    (error,) = measured.collected.errors
    assert error.file == "benchmarks/bench_broken.py"
    assert "No module named 'missing_library'" in error.text


def test_every_form_is_measured_as_asv_runs_it(measured: Measured) -> None:
    texts = {name: loss.text for name, loss in measured.block.lost.items() if name in MEASURED}
    assert not texts
    assert set(measured.block.quads) == set(MEASURED)


def test_both_workers_are_forked_from_one_process(measured: Measured) -> None:
    assert measured.notes == []
    assert measured.block.forked


def test_a_timer_of_the_suites_own_is_read(measured: Measured) -> None:
    for name, quads in measured.block.quads.items():
        timers = [batch.timer for quad in quads for batch in quad.baseline]
        if name.endswith("own_timer"):
            assert all(timers)
        else:
            assert not any(timers)


def test_a_benchmark_without_a_warm_up_gets_no_more_calls(measured: Measured) -> None:
    (quad,) = measured.block.quads[f"{SHAPES}Few.time_few"]
    assert sum(batch.calls for batch in quad.baseline) <= 4


def test_what_is_skipped_or_fails_is_lost_with_its_reason(measured: Measured) -> None:
    lost = measured.block.lost
    assert {lost[name].side for name in LOST} == {None}
    assert [(lost[name].phase, lost[name].outcome) for name in LOST] == [
        ("setup", "skipped"),
        ("call", "failed"),
        ("call", "skipped"),
    ]
    assert "every call fails" in lost[LOST[1]].text
    assert lost[LOST[2]].text == "not today"


def test_a_call_that_outlasts_the_timeout_is_lost(measured: Measured) -> None:
    assert measured.block.lost[SLOW].outcome == "failed"
    assert "longer than its timeout of 0.05 s" in measured.block.lost[SLOW].text


def test_a_crash_costs_the_benchmarks_after_it(measured: Measured) -> None:
    block = block_of(*measured.sides, (MEASURED[0], EXITS, INNER))
    assert set(block.quads) == {MEASURED[0]}
    assert (block.lost[EXITS].phase, block.lost[EXITS].outcome) == ("process", "crashed")
    assert block.lost[INNER].outcome == "stopped"


def test_calls_are_counted_after_the_setup_of_a_benchmark(measured: Measured) -> None:
    name = f"{SHAPES}Once.time_isolated"
    counted = Counted()
    CountingPair(*measured.sides, []).count({name: [CountCalls()]}, counted)
    both = counted.sites[name]
    functions = [[site.function for site in both[side][0]] for side in SIDES]
    assert functions[0] == functions[1]
    assert "work" in functions[0]
    assert "list.sort" in functions[0]


def test_regular_expressions_select_benchmarks_by_name(measured: Measured) -> None:
    (chosen,) = list_benchmarks(measured.sides[:1], [r"time_values\('a'", "track_", "inner$"])
    assert list(chosen.items) == [*VALUES[:2], INNER]
    assert chosen.unpaired == [f"{SHAPES}Plain.track_size"]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "there is no folder benchmarks with an asv suite"),
        (
            {"bench.py": "class A:\n    def __init__(self, x): pass\n    def time_a(self): pass\n"},
            "asv_runner cannot discover the benchmarks in benchmarks: TypeError",
        ),
    ],
)
def test_a_suite_that_cannot_be_discovered_says_why(
    files: dict[str, str], said: str, tmp_path: Path
) -> None:
    sides = with_suite(make_sides(tmp_path, "mortal"), "benchmarks")
    for side in sides:
        for name, text in files.items():
            (side.tree / "benchmarks").mkdir()
            (side.tree / "benchmarks" / name).write_text(text)
            (side.tree / "benchmarks" / "__init__.py").touch()
    with pytest.raises(WorkerError, match="the asv suite does not start: " + said):
        list_benchmarks(sides[:1], [])
