"""Sides made of the tiny suites as they are: nothing is exported or built."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from flopline.gate.sides.environment import Side
from flopline.gate.sides.versions import Version
from tests.gate.support.processes import SUITES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from flopline.gate.record import SideName

LIGHT = ("-p", "no:flopline", "-p", "no:hypothesispytest", "-p", "no:platformdirs")
"""Plugins that the tiny suites do without, so that workers start faster."""


def make_side(
    name: SideName,
    tree: Path,
    environment: Mapping[str, str] | None = None,
    python: str = sys.executable,
) -> Side:
    """Returns a side that runs in a folder."""
    version = Version(name, label="", commit="", kind="folder", source=tree)
    return Side(version, python, tree, dict(environment or {}), frozenset())


def make_sides(
    folder: Path, suite: str, candidate_subject: str = "plain", **environment: str
) -> tuple[Side, Side]:
    """Returns a baseline and a candidate with copies of a suite.

    The baseline has the plain subject. Both have further variables in their environment.
    """
    baseline = shutil.copytree(SUITES / suite, folder / "base")
    candidate = shutil.copytree(SUITES / suite, folder / "cand")
    subjects = SUITES / "subjects"
    before = {"PYTHONPATH": str(subjects / "plain"), **environment}
    after = {"PYTHONPATH": str(subjects / candidate_subject), **environment}
    return make_side("baseline", baseline, before), make_side("candidate", candidate, after)
