"""Where the worker runs, together with every process that it has started."""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING

from .processes import INIT, KERNEL, content, family, numbers, standing

if TYPE_CHECKING:
    from collections.abc import Sequence

TEMPORARY = b"TMPDIR=" + os.environb.get(b"TMPDIR", b"") + b"\0"
"""How this worker's temporary folder, which is nobody else's, stands in /proc/PID/environ.

A process that has cut all other ties to the worker has still inherited it.
"""


class Orphans:
    """The orphans that were found last.

    Looking for them takes milliseconds, so it is done only when a child has ended since the last
    time: a process loses its parent only when that ends, and then the test waits for the parent,
    which counts what the parent used of the memory. Where one of them has ended, others may have
    lost their parent with it.

    Attributes:
        born: When each of them was started.
        faults: The page faults of all children that had ended when they were looked for.
    """

    def __init__(self) -> None:
        self.born: dict[int, int] = {}
        self.faults = 0

    def present(self) -> list[int]:
        """Returns the processes without a parent that this one, or a descendant, has started."""
        faults = KERNEL.usage(resource.RUSAGE_CHILDREN).ru_minflt
        if faults != self.faults or not all(is_still(*each) for each in self.born.items()):
            self.faults = faults
            self.born = orphans()
        return list(self.born)


ORPHANS = Orphans()
"""Those of this process."""


def is_still(process: int, born: int) -> bool:
    """Returns whether a process that was started at this time still exists."""
    place = standing(process)
    return place is not None and place.born == born


def pin(cpus: Sequence[int]) -> None:
    """Moves every thread of this process, and of every process that it has started, to these CPUs.

    What they start later inherits the CPUs. A process that belongs to somebody else, for example
    because it changed its user, cannot be moved and stays where it is.
    """
    moved = set()
    for process in family(KERNEL.itself()):
        move(process, cpus)
        moved.add(process)
    for orphan in ORPHANS.present():
        for process in family(orphan):
            if process not in moved:
                move(process, cpus)
                moved.add(process)


def move(process: int, cpus: Sequence[int]) -> None:
    """Moves every thread of a process to these CPUs, unless that is forbidden."""
    for thread in numbers(f"/proc/{process}/task"):
        try:
            KERNEL.move(thread, cpus)
        except OSError:  # the thread has ended meanwhile, or belongs to somebody else
            continue


def orphans() -> dict[int, int]:
    """Returns the processes without a parent that this process, or a descendant, has started.

    The value is when each of them was started. Orphans are children of `init`, or of the
    coordinator if that asks for them. Those of this worker are in its session, or have its
    temporary folder in their environment.
    """
    heirs = {INIT, KERNEL.parent()}
    started = {}
    for process in numbers("/proc"):
        place = standing(process)
        if place is None or place.parent not in heirs or process == KERNEL.itself():
            continue
        if place.session == KERNEL.itself() or TEMPORARY in content(f"/proc/{process}/environ"):
            started[process] = place.born
    return started
