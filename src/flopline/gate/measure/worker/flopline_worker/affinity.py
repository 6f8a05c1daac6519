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


def pin(cpus: Sequence[int]) -> None:
    """Moves every thread of this process, and of every process that it has started, to these CPUs.

    What they start later inherits the CPUs. A process that belongs to somebody else, for example
    because it changed its user, cannot be moved and stays where it is.
    """
    moved = set()
    for process in family(KERNEL.itself()):
        move(process, cpus)
        moved.add(process)
    if may_have_orphans():
        for orphan in orphans():
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


def may_have_orphans() -> bool:
    """Returns whether a process that this one has started may have lost its parent.

    Looking for orphans takes milliseconds, which is much for a suite that starts nothing. A parent
    that has ended was waited for, and what it used of the memory is then in the sum over children.
    """
    return KERNEL.usage(resource.RUSAGE_CHILDREN).ru_minflt > 0


def orphans() -> list[int]:
    """Returns the processes without a parent that this process, or a descendant, has started.

    Orphans are children of `init`, or of the coordinator if that asks for them. Those of this
    worker are in its session, or have its temporary folder in their environment.
    """
    heirs = {INIT, KERNEL.parent()}
    started = []
    for process in numbers("/proc"):
        place = standing(process)
        if place is None or place.parent not in heirs or process == KERNEL.itself():
            continue
        if place.session == KERNEL.itself() or TEMPORARY in content(f"/proc/{process}/environ"):
            started.append(process)
    return started
