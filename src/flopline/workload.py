"""What is measured: cases, the workloads they become, and the strategies that do the work.

Nothing here imports torch, so that names can be listed quickly. A workload may be anybody's: `verify` and the pytest
fixture `measure` take those of other projects too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class Case:
    """A strategy at a size, for example `matmul/strategy=column_block/n=256/block=64`.

    Attributes:
        family: What is computed, for example `matmul`.
        strategy: How it is computed: the name of the strategy's function.
        axes: The size, by the name of its axes.
    """

    family: str
    strategy: str
    axes: Mapping[str, int]

    @property
    def name(self) -> str:
        """The case as one string, which `parse` reads again."""
        return "/".join(
            [
                self.family,
                f"strategy={self.strategy}",
                *(f"{key}={n}" for key, n in self.axes.items()),
            ]
        )

    @classmethod
    def parse(cls, name: str) -> Self:
        """Reads a case's name.

        Raises:
            ValueError: The text is not of the form `family/strategy=NAME/axis=NUMBER...`.
        """
        family, *parts = name.split("/")
        pairs = [part.partition("=") for part in parts]
        keys = [key for key, _, _ in pairs]
        valid = (
            family
            and keys[:1] == ["strategy"]
            and len(set(keys)) == len(keys)
            and pairs[0][2]
            and all(
                key and value.isdecimal() and value == str(int(value))
                for key, _, value in pairs[1:]
            )
        )
        if not valid:
            raise ValueError(
                f"{name!r} is not a case; a case reads family/strategy=NAME/axis=NUMBER/..."
            )
        return cls(family, pairs[0][2], {key: int(value) for key, _, value in pairs[1:]})


@dataclass(frozen=True)
class Accuracy:
    """How far a result is from the oracle, at the worst place of all.

    Attributes:
        error: Absolute error there; NaN where nothing, or no number, was written.
        bound: The largest error a right answer may have there.
        where: The index of that place.
        found: The value found there.
        expected: The oracle's value there.
    """

    error: float
    bound: float
    where: tuple[int, ...]
    found: float
    expected: float

    @property
    def right(self) -> bool:
        """Whether the error is a number and within its bound."""
        return self.error <= self.bound


@dataclass(frozen=True)
class Workload:
    """A prepared case: what to call, and what work one call of it is.

    Attributes:
        case: What it is.
        run: The call to time. It allocates nothing that could be allocated before.
        flops: Floating-point operations of one run; a multiplication and an addition count as two.
        bytes: Bytes that one run asks of memory, caches left out of account.
        calls: How often one run's loop body calls the framework.
        poison: Makes every trace of an earlier run unusable (outputs to NaN, state to its start).
        check: Compares what the last run left with the oracle.
        least: The same loop on the least data: what a call costs beside its arithmetic; None where unknown.
        product: Rows and columns of the matrix product that one call makes; None where calls make none.
        facts: What else belongs in the record, for example dtype, device and the source of the data.
    """

    case: Case
    run: Callable[[], object]
    flops: int
    bytes: int
    calls: int
    poison: Callable[[], object]
    check: Callable[[], Accuracy]
    least: Workload | None = None
    product: tuple[int, int] | None = None
    facts: Mapping[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """What a case took.

    Attributes:
        case: What was measured.
        seconds: Median seconds per run.
        spread: Interquartile range over the median.
        flops: Of one run.
        calls: Of one run.
        overhead: Share of the time that the calls cost beside their arithmetic; None where unknown.
    """

    case: Case
    seconds: float
    spread: float
    flops: int
    calls: int
    overhead: float | None

    @property
    def gflops(self) -> float:
        """Billions of floating-point operations per second."""
        return self.flops / self.seconds / 1e9


class WrongAnswerError(ArithmeticError):
    """A strategy computed something else than the oracle; what is wrong is never timed."""


def verify(workload: Workload) -> Accuracy:
    """Runs a workload once on poisoned outputs and compares with its oracle.

    Raises:
        WrongAnswerError: The largest error is beyond its bound, or a cell was not written.
    """
    workload.poison()
    workload.run()
    accuracy = workload.check()
    if not accuracy.right:
        what = (
            f"{accuracy.found:.9g} instead of {accuracy.expected:.9g}, error {accuracy.error:.3g}, "
            f"bound {accuracy.bound:.3g}"
            if math.isfinite(accuracy.error)
            else f"{accuracy.found} instead of {accuracy.expected:.9g}: a cell that was not written, or not a number"
        )
        raise WrongAnswerError(
            f"{workload.case.name}: wrong answer, worst at {list(accuracy.where)}: {what}. "
            "It was not timed; correct the strategy, then measure it."
        )
    return accuracy
