"""A block of a suite for pytest-codspeed, which is not changed for it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from flopline.gate.measure.block import run_block
from flopline.gate.measure.handle import WorkerError
from flopline.gate.measure.pair import list_benchmarks
from flopline.gate.record import BlockRequest, Settings
from flopline.progress import Progress
from tests.gate.measure.support.neutral_session import CODSPEED, install
from tests.gate.support.make_sides import LIGHT, make_sides

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("marker")
FILE = "test_codspeed.py::"
TIMED = (
    "test_marked",
    "test_codspeed_mark",
    "test_stacked_marks[10]",
    "test_stacked_marks[20]",
    "TestMarkedClass::test_method",
    "TestOfUnittest::test_method",
    "test_marked_parameter[2]",
    "test_mark_and_fixture",
    "test_both_marks",
    "test_codspeed_fixture",
    "test_codspeed_fixture_by_name",
    "test_setup_with_arguments",
)
OPTIONS = (*LIGHT, "--codspeed", "--codspeed-mode=walltime", "--codspeed-max-time", "3")


def test_a_suite_for_pytest_codspeed_runs_as_it_is(tmp_path: Path) -> None:
    install(tmp_path / "site", "pytest-codspeed", "codspeed", CODSPEED)
    sides = make_sides(tmp_path, "codspeed")
    for side in sides:
        side.environment["PYTHONPATH"] += f":{tmp_path / 'site'}"
    benchmarks = tuple(FILE + name for name in (*TIMED, "test_only_once"))
    listed = list_benchmarks(sides, OPTIONS)
    assert [tuple(side.items) for side in listed] == [benchmarks] * 2
    block = run_block(
        *sides,
        BlockRequest("screen", benchmarks, 0.001, Progress("screen")),
        Settings(arguments=OPTIONS),
        cpus=sorted(os.sched_getaffinity(0)),
        slowdown={},
        report=lambda _: None,
    )
    assert list(block.quads) == [FILE + name for name in TIMED]
    (loss,) = block.lost.values()
    assert "FileExistsError" in loss.text
    assert "passed when it was called first" in loss.text


ABSENT = """
import sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "pytest_benchmark":
            return None
        return self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""


def test_without_pytest_benchmark_one_sentence_says_what_to_install(tmp_path: Path) -> None:
    sides = make_sides(tmp_path, "codspeed")
    (tmp_path / "base" / "conftest.py").write_text(ABSENT)
    with pytest.raises(WorkerError, match=r"baseline: .*pytest-benchmark.*not installed in .*pip"):
        list_benchmarks(sides, (*OPTIONS, "-p", "no:benchmark"))
