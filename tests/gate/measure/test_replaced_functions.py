"""Blocks of a suite that replaces what its worker needs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from flopline.gate.measure.block import run_block
from flopline.gate.measure.pair import list_benchmarks
from flopline.gate.record import BlockRequest, Settings
from flopline.progress import Progress
from tests.gate.support.make_sides import LIGHT, make_side, make_sides

if TYPE_CHECKING:
    from pathlib import Path

    from flopline.gate.record import Block
    from flopline.gate.sides.environment import Side

pytestmark = pytest.mark.usefixtures("marker")
CPUS = sorted(os.sched_getaffinity(0))


def measure(sides: tuple[Side, Side], *arguments: str) -> tuple[list[str], Block]:
    """Runs one block, and returns the benchmarks and the block."""
    settings = Settings(arguments=(*LIGHT, *arguments))
    names = tuple(list_benchmarks(sides, settings.arguments)[0].items)
    request = BlockRequest("screen", names, 0.005, Progress("screen"))
    block = run_block(*sides, request, settings, cpus=CPUS, report=lambda _benchmark: None)
    return list(names), block


def test_a_benchmark_that_replaces_what_its_worker_needs_is_timed(tmp_path: Path) -> None:
    names, block = measure(make_sides(tmp_path, "replaced"))
    assert block.lost == {}
    assert list(block.quads) == names
    assert names[-1].endswith("test_plain")
    for quads in block.quads.values():
        for batch in quads[0].baseline:
            assert min(batch.wall, batch.cpu, batch.process) > 0


def test_a_test_that_closes_every_descriptor_is_lost_with_the_reason(tmp_path: Path) -> None:
    test = (
        "import os\ndef test_closes(benchmark):\n    os.closerange(3, 5000)\n    benchmark(int)\n"
    )
    for name in ("base", "cand"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "test_a.py").write_text(test)
    sides = (
        make_side("baseline", tmp_path / "base"),
        make_side("candidate", tmp_path / "cand"),
    )
    names, block = measure(sides, "-s")
    assert block.quads == {}
    assert block.lost[names[0]].outcome == "crashed"
    text = "the test closed the descriptors through which it was timed"
    assert block.lost[names[0]].text.startswith(text)
