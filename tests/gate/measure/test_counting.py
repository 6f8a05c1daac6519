from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flopline.gate.measure.alternate import measure_alternately
from flopline.gate.measure.block import run_block
from flopline.gate.measure.calls import lasting_differences
from flopline.gate.measure.counting import Counted, CountingPair
from flopline.gate.measure.worker.flopline_worker.protocol import CountCalls, SumCalls
from flopline.gate.record import BlockRequest, Settings
from flopline.progress import Progress
from tests.gate.support.make_sides import LIGHT, make_side, make_sides

if TYPE_CHECKING:
    from flopline.gate.measure.block import Measure
    from flopline.gate.record import SideName
    from flopline.gate.sides.environment import Side

ONCE_AND_TWICE = """
import subject

CALLED = []


def test_often(benchmark):
    def call():
        CALLED.append("often")
        len(CALLED) % 1000 < 2 and abs(1)  # abs is called by the first call alone
        return subject.value()

    assert benchmark(call) == 7


def test_once(benchmark):
    called = []
    assert benchmark.pedantic(lambda: called.append(1) or subject.value()) == 7
    assert called == [1]


def test_prepared(benchmark):
    alive = []

    def setup():
        assert not alive
        alive.append(1)

    def teardown():
        alive.clear()

    assert benchmark.pedantic(subject.value, setup=setup, teardown=teardown, rounds=9) == 7


def test_failing(benchmark):
    benchmark(subject.value)
    raise ValueError
"""
VALUE = "def value():\n    for _ in range({n}):\n        len('')\n    return 7\n"
ONCE = "test_a.py::test_once"
OFTEN = "test_a.py::test_often"
PREPARED = "test_a.py::test_prepared"
FAILING = "test_a.py::test_failing"
CPUS = sorted(os.sched_getaffinity(0))
TWICE = (SumCalls(), SumCalls())


@pytest.mark.usefixtures("marker")
def test_the_slower_subject_calls_a_function_more_often(tmp_path: Path) -> None:
    sides = make_sides(tmp_path, "shapes", "slower")
    plain, unused = "test_shapes.py::test_plain", "test_shapes.py::test_unused"
    counted = Counted()
    CountingPair(*sides, LIGHT).count(dict.fromkeys([plain, unused], (CountCalls(),)), counted)
    assert set(counted.sites) == {plain}
    sites = counted.sites[plain]
    roots = [Path(side.environment["PYTHONPATH"]) for side in sides]
    (extra,) = lasting_differences(sites["baseline"], sites["candidate"], ([roots[0]], [roots[1]]))
    assert (extra.function, extra.where) == ("extra", "subject.py:10")
    assert (extra.baseline, extra.candidate) == (0, 125)


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Side, Side]:
    """Two sides that count calls of `len`: three on the baseline, five on the candidate."""
    names: list[tuple[SideName, int]] = [("baseline", 3), ("candidate", 5)]
    made = []
    for name, n in names:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "test_a.py").write_text(ONCE_AND_TWICE)
        (folder / "subject.py").write_text(VALUE.format(n=n))
        made.append(make_side(name, folder, {"PYTHONPATH": str(folder)}))
    return made[0], made[1]


@pytest.mark.usefixtures("marker")
@pytest.mark.parametrize("alternate", [False, True])
def test_every_benchmark_is_counted_as_often_as_it_may_be_called(
    sides: tuple[Side, Side], *, alternate: bool
) -> None:
    counted = Counted()
    names = [OFTEN, ONCE, PREPARED, FAILING]
    CountingPair(*sides, LIGHT, alternate=alternate).count(dict.fromkeys(names, TWICE), counted)
    # Beside len: call, append, len and value; the lambda, append and value; value alone.
    assert {name: counted.pairs(name) for name in names} == {
        OFTEN: [(7, 9), (7, 9)],
        ONCE: [(6, 8)],
        PREPARED: [(4, 6), (4, 6)],
        FAILING: [(4, 6), (4, 6)],
    }


@pytest.mark.usefixtures("marker")
@pytest.mark.parametrize("measure", [None, measure_alternately])
def test_a_block_of_the_screen_counts_what_allows_another_call(
    sides: tuple[Side, Side], measure: Measure | None
) -> None:
    names = (OFTEN, ONCE, PREPARED)
    request = BlockRequest("screen", names, 0.01, Progress("screen"), controls=False)
    block = run_block(*sides, request, Settings(arguments=LIGHT), cpus=CPUS, measure=measure)
    assert set(block.quads) == set(names)
    assert block.calls == {OFTEN: (7, 9), PREPARED: (4, 6)}


@pytest.mark.usefixtures("marker")
def test_other_blocks_count_nothing(sides: tuple[Side, Side]) -> None:
    request = BlockRequest("confirm", (PREPARED,), 0.01, Progress("confirm"), controls=False)
    block = run_block(*sides, request, Settings(arguments=LIGHT), cpus=CPUS)
    assert set(block.quads) == {PREPARED}
    assert block.calls == {}
