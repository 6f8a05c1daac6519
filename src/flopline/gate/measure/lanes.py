"""Blocks that are measured side by side, each on a CPU of its own."""

from __future__ import annotations

import concurrent.futures
import random
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from threading import Event

    from flopline.gate.record import Block, BlockRequest

MOST_LANES = 4
"""No more blocks than this are measured side by side.

A screen has four. More of them would take memory, and would share caches and its bandwidth.
"""
FEW_CPUS = 2
"""Of more physical CPUs than this, one is left to the coordinator and to everybody else."""
CPU_FOLDER = Path("/sys/devices/system/cpu")


class Lane(NamedTuple):
    """Where one of several blocks is measured that run side by side.

    Attributes:
        number: Which of them it is; it tells their ports, files and databases apart.
        cpu: The CPU that it is timed on.
    """

    number: int
    cpu: int


def cpus_for_lanes(cpus: Sequence[int], folder: Path = CPU_FOLDER) -> list[int]:
    """Returns one CPU for each block that may be measured at the same time.

    Two threads of one core slow each other down, so only one of them is taken, where Linux tells
    which they are.

    Args:
        cpus: The CPUs that may be used.
        folder: Where Linux describes the CPUs.
    """
    by_core: dict[str, int] = {}
    for cpu in cpus:
        by_core.setdefault(_core(cpu, folder), cpu)
    chosen = list(by_core.values())
    spare = 1 if len(chosen) > FEW_CPUS else 0
    return chosen[: min(MOST_LANES, len(chosen) - spare)]


def _core(cpu: int, folder: Path) -> str:
    """Returns the threads of a CPU's core as Linux writes them, for example `0,4`."""
    try:
        return (folder / f"cpu{cpu}/topology/thread_siblings_list").read_text(encoding="ascii")
    except OSError:
        return str(cpu)


def side_by_side(
    measure: Callable[[BlockRequest, Lane | None], Block],
    requests: Sequence[BlockRequest],
    cpus: Sequence[int],
    stopped: Event,
) -> tuple[Block, ...]:
    """Measures one or several blocks at the same time, and returns them in their order.

    Which block gets which CPU is drawn by lot. If one of them fails, or Ctrl-C arrives, the others
    are stopped, too.

    Args:
        measure: Measures a block in a lane; None stands for a block that is measured alone.
        requests: The blocks, at most one per CPU.
        cpus: A CPU for each of them.
        stopped: Is set if the blocks must end, and looked at by those who wait for workers.

    Raises:
        WorkerError: A side does not start.
    """
    if requests[0].alone:
        return tuple(measure(request, None) for request in requests)
    drawn = random.SystemRandom().sample(list(cpus), len(cpus))
    with concurrent.futures.ThreadPoolExecutor(len(requests)) as threads:
        futures = []
        try:
            for number, request in enumerate(requests):
                futures.append(threads.submit(measure, request, Lane(number, drawn[number])))
            first_error = concurrent.futures.FIRST_EXCEPTION
            ended, _ = concurrent.futures.wait(futures, return_when=first_error)
            for future in ended:
                future.result()
            return tuple(future.result() for future in futures)
        except BaseException:
            stopped.set()
            raise
