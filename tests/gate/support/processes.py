"""Sides made of the tiny suites, and the processes that a test may have started."""

from __future__ import annotations

import os
import time
from pathlib import Path

SUITES = Path(__file__).parents[2] / "suites"


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
