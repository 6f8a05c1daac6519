"""Suites of which only one side can live at a time: what a run does with them."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from flopline.gate.measure.alternate import Blocks, form_quads, may_clash, merged
from flopline.gate.measure.patience import Patience
from flopline.gate.record import Batch, BlockRequest, Loss, Settings
from flopline.progress import Progress
from tests.gate.support.make_sides import LIGHT, make_side

if TYPE_CHECKING:
    from pathlib import Path

    from flopline.gate.record import Outcome, SideName

SHARED, OWN, BROKEN = (f"test_a.py::test_{name}" for name in ("shared", "own", "broken"))
SUITE = """
import os, pathlib, socket, pytest
@pytest.fixture(scope="session")
def resource():
{acquire}
def test_shared(benchmark, resource):
    benchmark(sum, range(500))
def test_own(benchmark):
    benchmark(sum, range(500))
def test_broken(benchmark):
    assert not pathlib.Path("broken").exists()
    benchmark(sum, range(500))
"""
RESOURCES = {
    "port": """
    with socket.create_server(("127.0.0.1", {port})):
        yield
""",
    "file": """
    descriptor = os.open("{folder}/pid", os.O_CREAT | os.O_EXCL)
    yield
    os.close(descriptor)
    os.unlink("{folder}/pid")
""",
}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def blocks(folder: Path, resource: str, *, alternate: bool = False) -> Blocks:
    """Two sides with one suite, whose sides need one resource; the candidate is broken, too."""
    acquire = RESOURCES[resource].format(port=free_port(), folder=folder)
    sides = []
    names: tuple[SideName, ...] = ("baseline", "candidate")
    for name in names:
        tree = folder / name[:4]
        tree.mkdir()
        (tree / "test_a.py").write_text(SUITE.format(acquire=acquire))
        sides.append(make_side(name, tree))
    (folder / "cand" / "broken").touch()
    cpus = sorted(os.sched_getaffinity(0))
    settings = Settings(arguments=LIGHT, alternate=alternate)
    baseline, candidate = sides
    return Blocks(baseline, candidate, settings, cpus, {}, Patience(), [])


def request(*benchmarks: str) -> BlockRequest:
    return BlockRequest("screen", benchmarks, 0.01, Progress("screen"))


@pytest.mark.usefixtures("marker")
@pytest.mark.parametrize("resource", RESOURCES)
def test_benchmarks_that_fail_only_side_by_side_are_measured_apart(
    tmp_path: Path, resource: str
) -> None:
    measuring = blocks(tmp_path, resource)
    block = measuring.measure(request(SHARED, OWN, BROKEN), lambda _: None)
    assert set(block.quads) == {SHARED, OWN}
    assert block.alternate == [SHARED]
    assert (block.lost[BROKEN].side, block.lost[BROKEN].outcome) == ("candidate", "failed")
    (warning,) = measuring.warnings
    assert SHARED in warning
    for word in ("at the same time", "FLOPLINE_SLOT", "--alternate-setup"):
        assert word in warning
    # From then on nothing is tried together that fails together, and nothing twice.
    again = measuring.measure(request(SHARED, OWN), lambda _: None)
    assert (set(again.quads), again.alternate, again.lost) == ({SHARED, OWN}, [SHARED], {})
    assert len(measuring.warnings) == 1


@pytest.mark.usefixtures("marker")
def test_with_alternate_setup_every_benchmark_is_measured_apart(tmp_path: Path) -> None:
    measuring = blocks(tmp_path, "port", alternate=True)
    block = measuring.measure(request(SHARED, OWN), lambda _: None)
    assert block.alternate == [SHARED, OWN]
    assert (block.lost, measuring.warnings) == ({}, [])
    assert block.canary
    for quads in block.quads.values():
        assert quads
        calls = {batch.calls for quad in quads for batch in (*quad.baseline, *quad.candidate)}
        assert len(calls) == 1
        assert {(len(quad.baseline), len(quad.candidate)) for quad in quads} == {(2, 2)}


def batches(count: int) -> list[Batch]:
    return [Batch(1, float(number), 1.0, 1.0, 0, 0) for number in range(count)]


@pytest.mark.parametrize(
    ("counts", "sizes"), [((5, 4), [2, 2]), ((1, 4), [1]), ((2, 2), [2]), ((3, 2), [2])]
)
def test_quads_are_formed_of_the_batches_that_both_sides_have(
    counts: tuple[int, int], sizes: list[int]
) -> None:
    quads = form_quads(batches(counts[0]), batches(counts[1]))
    assert [len(quad.baseline) for quad in quads] == sizes
    assert all(quad.baseline == quad.candidate for quad in quads)


@pytest.mark.parametrize(
    ("side", "outcome", "text", "clashes"),
    [
        ("baseline", "failed", "KeyError", True),
        (None, "failed", "E   OSError: [Errno 98] Address already in use", True),
        (None, "failed", "E   KeyError", False),
        ("candidate", "hung", "in the setup of a: nothing received", True),
        ("candidate", "hung", "in a: nothing received", False),
        ("candidate", "skipped", "no GPU", False),
    ],
)
def test_a_loss_may_be_a_clash_if_the_sides_differ_or_something_is_taken(
    side: SideName | None, outcome: Outcome, text: str, *, clashes: bool
) -> None:
    assert may_clash(Loss(side, "setup", outcome, text)) == clashes


@pytest.mark.usefixtures("marker")
def test_a_merged_block_loses_only_what_neither_could_measure(tmp_path: Path) -> None:
    measuring = blocks(tmp_path, "file", alternate=True)
    one = measuring.measure(request(OWN), lambda _: None)
    other = measuring.measure(request(SHARED, BROKEN), lambda _: None)
    lost = {SHARED: Loss("baseline", "setup", "failed", "taken")}
    both = merged(type(one)(**{**vars(one), "lost": lost}), other)
    assert set(both.quads) == {OWN, SHARED}
    assert set(both.lost) == {BROKEN}
    assert both.seconds == one.seconds + other.seconds
    assert both.spent == one.spent | other.spent
    assert set(both.spent) == {OWN, SHARED, BROKEN}
