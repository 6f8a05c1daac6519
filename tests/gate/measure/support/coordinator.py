"""A coordinator that a test can kill.

`python -m tests.gate.measure.support.coordinator wait|"take turns"|fork BASELINE CANDIDATE` starts
two workers in these copies of the suite of faults. It prints its first argument when they do that,
or when they were forked and wait.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from flopline.gate.measure.block import run_block
from flopline.gate.measure.pair import pair
from flopline.gate.measure.parents import Parents
from flopline.gate.record import BlockRequest, Settings
from flopline.progress import Progress
from tests.gate.support.make_sides import LIGHT, make_side

BENCHMARKS = ("test_faults.py::test_before", "test_faults.py::test_after")


def main(doing: str, baseline_tree: str, candidate_tree: str) -> None:
    baseline = make_side("baseline", Path(baseline_tree))
    candidate = make_side("candidate", Path(candidate_tree))

    def show(_benchmark: str = "") -> None:
        sys.stdout.write(f"{doing}\n")
        sys.stdout.flush()

    if doing == "wait":
        with pair([baseline, candidate], LIGHT, hash_seed=1, padding=0):
            show()
            time.sleep(1000)
    if doing == "fork":
        sides = [baseline, candidate]
        with (
            Parents(*sides) as parents,
            pair(sides, LIGHT, hash_seed=1, padding=0, parent=parents.current()),
        ):
            show()
            time.sleep(1000)
    request = BlockRequest("screen", BENCHMARKS, 0.2, Progress("screen"))
    run_block(baseline, candidate, request, Settings(arguments=LIGHT), cpus=[0], report=show)


if __name__ == "__main__":
    main(*sys.argv[1:])
