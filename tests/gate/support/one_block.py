"""A program that shows in one short block whose code two sides run.

usage: one_block.py START BASELINE SUITE_FROM ARGUMENT...

It prints as JSON the last line of each file with a function `work` that either side has loaded, the
warnings, and why the run was refused.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flopline import FloplineError
from flopline.gate.measure.block import run_block
from flopline.gate.record import BlockRequest, Settings
from flopline.gate.run import judge_code, share_suite
from flopline.gate.sides.environment import sides
from flopline.progress import Progress
from tests.gate.support.make_sides import LIGHT

if TYPE_CHECKING:
    from flopline.gate.measure.worker.flopline_worker.protocol import LoadedFile
    from flopline.gate.record import SideName


def show(start: str, baseline: str, suite_from: str, *arguments: str) -> dict[str, Any]:
    """Returns what the program prints."""
    settings = Settings(arguments=(*LIGHT, *arguments), suite_from=suite_from)  # type: ignore[arg-type]
    shown: dict[str, Any] = {"ran": {}, "warnings": [], "refused": ""}
    try:
        with sides(Path(start), baseline) as both:
            suite = share_suite(*both, settings)
            shown["warnings"] += suite.warnings
            reports: dict[SideName, list[LoadedFile]] = {}
            cpus = sorted(os.sched_getaffinity(0))
            request = BlockRequest("screen", suite.benchmarks, 0.01, Progress("screen"))
            block = run_block(*both, request, settings, cpus=cpus, loaded=reports.__setitem__)
            shown["lost"] = {name: loss.text for name, loss in block.lost.items()}
            shown["ran"] = {side.name: _subjects(reports[side.name]) for side in both}
            shown["warnings"] += judge_code(both, reports, suite)
    except FloplineError as error:
        shown["refused"] = str(error)
    return shown


def _subjects(loaded: list[LoadedFile]) -> list[str]:
    """Returns the last lines of the side's own files that define the subject."""
    texts = [Path(row.file).read_text("utf-8") for row in loaded if row.digest]
    return [text.splitlines()[-1].strip() for text in texts if "def work" in text]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(show(*sys.argv[1:])))
