"""Sides made of the tiny suites, and the processes that a test may have started."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flopline.gate.record import SideName

SUITES = Path(__file__).parents[2] / "suites"


@dataclass(frozen=True)
class Version:
    """A side that can be started."""

    name: SideName
    tree: Path
    environment: dict[str, str] = field(default_factory=dict)
    python: str = sys.executable


def living(*markers: str) -> set[int]:
    """Processes, other than this one, in whose environment there are these markers."""
    found = set()
    for folder in Path("/proc").iterdir():
        try:
            environment = (folder / "environ").read_bytes()
            if all(os.fsencode(marker) in environment for marker in markers):
                found.add(int(folder.name))
        except (OSError, ValueError):
            continue
    return found - {os.getpid()}


def gone(marker: str) -> bool:
    """Whether all of them end in time."""
    deadline = time.monotonic() + 30
    while living(marker):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
