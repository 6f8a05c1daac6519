"""Benchmarks that work or wait outside of their thread, in one block with real workers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from flopline.gate.judge.clock import choose_clock, second_clock
from flopline.gate.measure.block import run_block
from flopline.gate.record import BlockRequest, Settings
from flopline.progress import Progress
from tests.gate.support.make_sides import LIGHT, make_sides

if TYPE_CHECKING:
    from flopline.gate.record import Batch, Block, Clock

pytestmark = pytest.mark.usefixtures("marker")
CPUS = sorted(os.sched_getaffinity(0))
CLOCKS: dict[str, Clock] = {
    "own_thread": "cpu",
    "sleep": "wall",
    "threads": "process",
    "child": "process",
    "setup_in_a_child": "cpu",
    "pool_of_the_first_call": "process",
    "pool_of_a_limited_first_call": "process",
    "first_call_only_is_slow": "cpu",
}
SETTINGS = Settings(detect=0.1, arguments=LIGHT)


def node(name: str) -> str:
    return f"test_elsewhere.py::test_{name}"


@pytest.fixture(scope="module")
def block(tmp_path_factory: pytest.TempPathFactory) -> Block:
    sides = make_sides(tmp_path_factory.mktemp("elsewhere"), "elsewhere")
    benchmarks = tuple(node(name) for name in CLOCKS)
    request = BlockRequest("screen", benchmarks, 0.02, Progress("screen"), controls=False)
    return run_block(*sides, request, SETTINGS, cpus=CPUS)


def batches(block: Block, name: str) -> list[Batch]:
    both: list[Batch] = []
    for quad in block.quads[node(name)]:
        both += quad.baseline + quad.candidate
    return both


def test_every_benchmark_is_timed_and_its_cost_is_known(block: Block) -> None:
    assert block.lost == {}  # the suite itself looks on which CPUs its children may run
    assert set(block.quads) == set(block.spent) == {node(name) for name in CLOCKS}
    assert 0 < sum(block.spent.values()) < block.seconds
    assert (block.canary, block.control) == ([], [])


@pytest.mark.parametrize("name", [name for name in CLOCKS if CLOCKS[name] == "process"])
def test_what_works_in_threads_or_children_is_timed_on_all_cpus(block: Block, name: str) -> None:
    assert node(name) in block.wide


def test_what_works_in_threads_has_quads_on_one_cpu_and_on_all(block: Block) -> None:
    assert block.parallel[node("threads")]
    others = {"own_thread", "sleep", "pool_of_the_first_call", "pool_of_a_limited_first_call"}
    assert not block.parallel.keys() & {node(name) for name in others}


@pytest.mark.parametrize("name", ["child", "pool_of_the_first_call"])
def test_the_time_of_children_is_in_every_batch(block: Block, name: str) -> None:
    for batch in batches(block, name):
        assert batch.children > batch.cpu / 20


@pytest.mark.parametrize("name", ["own_thread", "threads", "setup_in_a_child"])
def test_the_time_of_no_others_is_in_a_batch(block: Block, name: str) -> None:
    assert {batch.children for batch in batches(block, name)} == {0.0}


def test_a_slow_benchmark_is_called_no_more_than_needed(block: Block) -> None:
    (quad,) = block.quads[node("pool_of_a_limited_first_call")]
    assert [batch.calls for batch in quad.baseline + quad.candidate] == [1, 1, 1, 1]
    assert len(batches(block, "pool_of_the_first_call")) <= 8


def test_a_slow_first_call_leaves_batches_of_many_calls(block: Block) -> None:
    assert min(batch.calls for batch in batches(block, "first_call_only_is_slow")) > 10


@pytest.mark.judges_times
@pytest.mark.parametrize("name", CLOCKS)
def test_every_benchmark_gets_the_clock_that_describes_it(block: Block, name: str) -> None:
    clock = choose_clock(block.quads[node(name)], SETTINGS)
    assert clock == CLOCKS[name]
    second = "wall" if clock == "process" else None
    assert second_clock(block.quads[node(name)], SETTINGS) == second
