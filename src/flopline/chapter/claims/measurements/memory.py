"""Ceilings of this machine, and times of reading main memory and caches."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

import torch

from flopline import machine
from flopline.chapter import ceilings
from flopline.chapter.claims.measurements.turns import measure_in_turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from flopline.chapter.ceilings import Ceilings
    from flopline.chapter.claims.measurements.turns import Announce, Seconds

CEILINGS = 8
"""How often the ceilings are measured: with fewer samples a 99 % interval is impossible."""

CEILINGS_PATIENCE = 0.3
"""Seconds without a rise of any rate after which one measurement of the ceilings ends."""

STRIDES = (1, 2, 4, 8, 16, 32)
"""Distances between the numbers that are read, in float32 numbers of 4 bytes."""

FETCHES = 1 << 21
"""Numbers that one call fetches."""


def measure_ceilings(announce: Announce) -> list[Ceilings]:
    """Measures the ceilings with all usable cores, several times."""
    cores = len(os.sched_getaffinity(0))
    results = []
    for i in range(CEILINGS):
        announce(f"ceilings, {i + 1} of {CEILINGS}")
        results.append(ceilings.measure_ceilings(threads=cores, patience=CEILINGS_PATIENCE))
    return results


def measure_strided_sums(rounds: int, announce: Announce) -> dict[int, list[float]]:
    """Measures sums over main memory that skip numbers.

    Returns:
        Seconds per number that is summed, by the stride in numbers; one entry per round.
    """
    caches = machine.cache_bytes(machine.caches())
    buffers = ceilings.working_sets(caches, machine.memory_bytes())
    numbers = torch.ones(buffers["memory"] // 4)
    views = {str(stride): numbers[::stride] for stride in STRIDES}
    runs = {name: view.sum for name, view in views.items()}
    seconds = measure_in_turns(runs, "strided reads", rounds, announce)
    per_number = {}
    for stride in STRIDES:
        count = len(views[str(stride)])
        per_number[stride] = [sample / count for sample in seconds[str(stride)]]
    return per_number


def measure_fetches(rounds: int, announce: Announce) -> Seconds:
    """Measures how long it takes to fetch single numbers, in order and at random places.

    Returns:
        Seconds per number: `sequential` for numbers of main memory in order, and by the name of
        each level of memory for numbers at random places in a buffer that this level holds.
    """
    caches = machine.cache_bytes(machine.caches())
    buffers = ceilings.working_sets(caches, machine.memory_bytes())
    if caches:
        # The buffer of a ceiling is only three times the size of the previous cache, from which a
        # third of the fetches would be served.
        last = list(caches)[-1]
        buffers[last] = caches[last] // 4
    generator = torch.Generator().manual_seed(0)
    out = torch.empty(FETCHES)
    numbers = {level: torch.ones(size // 4) for level, size in buffers.items()}
    runs = {"sequential": sequential_fetch(numbers["memory"], out)}
    for level, buffer in numbers.items():
        runs[level] = random_fetch(buffer, out, generator)
    seconds = measure_in_turns(runs, "random reads", rounds, announce)
    per_number = {}
    for name, samples in seconds.items():
        per_number[name] = [sample / FETCHES for sample in samples]
    return per_number


def sequential_fetch(numbers: Tensor, out: Tensor) -> Callable[[], Tensor]:
    """Returns a call that fetches as many neighbouring numbers as `out` holds.

    Every call begins where the previous one ended, so that its numbers are not in a cache.
    """
    count = len(out)
    order = torch.arange(count)
    calls = itertools.count()

    def fetch() -> Tensor:
        begin = next(calls) * count % (len(numbers) - count)
        return torch.index_select(numbers[begin : begin + count], 0, order, out=out)

    return fetch


def random_fetch(numbers: Tensor, out: Tensor, generator: torch.Generator) -> Callable[[], Tensor]:
    """Returns a call that fetches as many numbers as `out` holds from random places."""
    places = torch.randint(len(numbers), (len(out),), generator=generator)

    def fetch() -> Tensor:
        return torch.index_select(numbers, 0, places, out=out)

    return fetch
