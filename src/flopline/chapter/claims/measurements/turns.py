"""Times of products and epochs, measured in turns."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING

from flopline import machine, matmul, sgd, timing, workload
from flopline.chapter import training
from flopline.workload import Case

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flopline.data import Table
    from flopline.workload import Workload

Announce = Callable[[str], None]
"""A function that is called with the name of what is measured next."""

Seconds = dict[str, list[float]]
"""Seconds per call by the name of what was called, one entry per round."""

ROUNDS = 15
"""How often everything that is timed has its turn.

The 99 % interval of a median then reaches from the third to the thirteenth of its samples.
"""


def measure_in_turns(
    runs: Mapping[str, Callable[[], object]], what: str, rounds: int, announce: Announce
) -> Seconds:
    """Measures runs on one thread, in batches that take turns.

    Args:
        runs: What to call, by name.
        what: What the runs have in common, for the announcement.
        rounds: How often each run has its turn.
        announce: Called at the beginning of each round.
    """

    def announce_round(index: int) -> None:
        announce(f"{what}, round {index + 1} of {rounds}")

    announce(what)
    with machine.pinned(1):
        return timing.turns(runs, timing.host_clock(), rounds=rounds, report=announce_round)


def measure_workloads(
    workloads: Sequence[Workload], what: str, rounds: int, announce: Announce
) -> Seconds:
    """Verifies workloads, measures them in turns, and verifies them again.

    The results are named by their cases.

    Raises:
        WrongAnswerError: A workload computes a wrong result, before or after it was timed.
    """
    with machine.pinned(1):
        for prepared in workloads:
            announce(f"{what}: verifying {prepared.case.strategy}")
            workload.verify(prepared)
    runs = {prepared.case.name: prepared.run for prepared in workloads}
    seconds = measure_in_turns(runs, what, rounds, announce)
    with machine.pinned(1):
        for prepared in workloads:
            workload.verify_again(prepared)
    return seconds


MATRIX_SIZE = 256
"""The edge of the chapter's matrices."""

CHAPTER_BLOCK = 64
"""The width of the chapter's blocks of columns."""

BLOCK_WIDTHS = (1, 4, 16, 64, 128, 256)
"""Widths of the blocks of columns that are measured without a copy."""


def product_case(strategy: str, block: int | None = None, *, n: int = MATRIX_SIZE) -> Case:
    """Returns the case of a product of two n x n matrices."""
    axes = {"n": n}
    if block is not None:
        axes["block"] = block
    return Case("matmul", strategy, axes)


def tiny_element_loop() -> Workload:
    """Returns the chapter's element loop on matrices so small that it costs what its calls cost."""
    return matmul.prepare(product_case("element_assign", n=matmul.TINY))


def measure_products(rounds: int, announce: Announce) -> Seconds:
    """Measures the chapter's products, the blocks of columns and the tiny element loop."""
    cases = [product_case(name) for name in ("element_assign", "column_assign", "full")]
    cases.append(product_case("column_block_assign", CHAPTER_BLOCK))
    cases += [product_case("column_block", width) for width in BLOCK_WIDTHS]
    workloads = [matmul.prepare(case) for case in cases]
    return measure_workloads([*workloads, tiny_element_loop()], "products", rounds, announce)


EPOCH_STRATEGIES = ("loader", "autograd", "manual")
"""Ways to run an epoch.

They fetch examples row by row as the chapter does, fetch them by indexing, and do without autograd.
"""


def epoch_case(strategy: str, minibatch: int) -> Case:
    """Returns the case of an epoch with minibatches of this many examples."""
    return Case("sgd", strategy, {"batch": minibatch})


def measure_epochs(table: Table, rounds: int, announce: Announce) -> Seconds:
    """Measures an epoch for every strategy and minibatch size; drawing minibatches is not timed."""
    pairs = itertools.product(EPOCH_STRATEGIES, training.MINIBATCH_SIZES)
    cases = [epoch_case(strategy, minibatch) for strategy, minibatch in pairs]
    workloads = [sgd.prepare(case, table) for case in cases]
    return measure_workloads(workloads, "epochs", rounds, announce)
