"""Sides made of the tiny suites, and the processes that a test may have started."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from flopline.gate.sides import versions
from flopline.gate.sides.environment import Side

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flopline.gate.record import SideName

SUITES = Path(__file__).parents[2] / "suites"


@dataclass(frozen=True)
class Version:
    """A stand-in for a side."""

    name: SideName
    tree: Path
    environment: dict[str, str] = field(default_factory=dict)
    python: str = sys.executable


def make_side(
    name: SideName,
    tree: Path,
    environment: Mapping[str, str] | None = None,
    python: str = sys.executable,
) -> Side:
    """Returns a side that runs in a folder as it is; nothing is exported or built."""
    version = versions.Version(name, "", "", "folder", tree)
    return Side(version, python, tree, dict(environment or {}), frozenset())


def living(*markers: str) -> set[int]:
    """Returns the processes, without this one, that have all these markers in their environment."""
    processes = set()
    for folder in Path("/proc").iterdir():
        try:
            environment = (folder / "environ").read_bytes()
            if all(os.fsencode(marker) in environment for marker in markers):
                processes.add(int(folder.name))
        except (OSError, ValueError):
            continue
    return processes - {os.getpid()}


def gone(marker: str) -> bool:
    """Returns True if all processes with a marker end within half a minute."""
    deadline = time.monotonic() + 30
    while living(marker):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
