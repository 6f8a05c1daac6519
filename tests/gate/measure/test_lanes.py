from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from flopline.gate.measure.handle import WorkerError
from flopline.gate.measure.lanes import Lane, cpus_for_lanes, side_by_side
from flopline.gate.record import BlockRequest
from flopline.progress import Progress
from tests.gate.support.make_records import make_block

if TYPE_CHECKING:
    from pathlib import Path

    from flopline.gate.record import Block

WAITING = 20.0
"""Seconds after which a test gives up; it waits for milliseconds."""


def request(name: str, *, alone: bool = False) -> BlockRequest:
    return BlockRequest("screen", (name,), 0.1, Progress("screen"), alone=alone)


def siblings(folder: Path, threads: dict[int, str]) -> Path:
    """Writes which threads share a core, as Linux does."""
    for cpu, names in threads.items():
        topology = folder / f"cpu{cpu}" / "topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(f"{names}\n")
    return folder


def test_of_two_threads_of_a_core_one_is_used(tmp_path: Path) -> None:
    folder = siblings(tmp_path, {0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"})
    assert cpus_for_lanes([0, 1, 2, 3], folder) == [0, 1]


def test_where_the_kernel_does_not_tell_every_cpu_is_a_core(tmp_path: Path) -> None:
    assert cpus_for_lanes([4, 5], tmp_path) == [4, 5]


@pytest.mark.parametrize(("cpus", "lanes"), [(1, 1), (2, 2), (3, 2), (4, 3), (16, 4)])
def test_of_more_than_two_cpus_one_is_left_to_others_and_at_most_four_are_used(
    tmp_path: Path, cpus: int, lanes: int
) -> None:
    assert len(cpus_for_lanes(range(cpus), tmp_path)) == lanes


def test_blocks_run_at_the_same_time_each_on_a_cpu_and_with_a_number_of_its_own() -> None:
    barrier = threading.Barrier(2, timeout=WAITING)
    lanes: list[Lane] = []

    def measure(asked: BlockRequest, lane: Lane | None) -> Block:
        assert lane is not None
        lanes.append(lane)
        barrier.wait()
        return make_block("screen", 1 + len(asked.benchmarks[0]))

    asked = [request("a"), request("bb")]
    blocks = side_by_side(measure, asked, [4, 7], threading.Event())
    assert [len(next(iter(block.quads.values()))) for block in blocks] == [2, 3]
    assert {lane.number for lane in lanes} == {0, 1}
    assert {lane.cpu for lane in lanes} == {4, 7}


def test_a_block_that_is_measured_alone_has_no_lane() -> None:
    lanes: list[Lane | None] = []

    def measure(_: BlockRequest, lane: Lane | None) -> Block:
        lanes.append(lane)
        return make_block("screen", 1)

    side_by_side(measure, [request("a", alone=True)], [4, 7], threading.Event())
    assert lanes == [None]


@pytest.mark.parametrize("failing", ["a", "b"])
def test_if_a_block_fails_the_others_are_stopped(failing: str) -> None:
    stopped = threading.Event()
    ends = []

    def measure(asked: BlockRequest, _: Lane | None) -> Block:
        if asked.benchmarks == (failing,):
            raise WorkerError("it does not start")
        ends.append(stopped.wait(WAITING))
        return make_block("screen", 1)

    with pytest.raises(WorkerError):
        side_by_side(measure, [request("a"), request("b")], [4, 7], stopped)
    assert ends == [True]
