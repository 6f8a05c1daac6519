"""What is measured: cases, the workloads that they become, and how a result is known to be right.

Nothing here imports torch, so that names can be listed quickly. A workload may come from any
project: `verify` and the pytest fixture `measure` do not ask who prepared it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from flopline import FloplineError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class CaseError(FloplineError, ValueError):
    """A text is not the name of a case."""


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
        sizes = [f"{axis}={size}" for axis, size in self.axes.items()]
        return "/".join([self.family, f"strategy={self.strategy}", *sizes])

    @classmethod
    def parse(cls, name: str) -> Self:
        """Returns the case of this name.

        Raises:
            CaseError: The text is not of the form `family/strategy=NAME/axis=NUMBER...`.
        """
        error = CaseError(
            f"{name!r} is not a case; a case reads family/strategy=NAME/axis=NUMBER/..."
        )
        family, *parts = name.split("/")
        if not family or not parts:
            raise error
        key, _, strategy = parts[0].partition("=")
        if key != "strategy" or not strategy:
            raise error
        axes: dict[str, int] = {}
        for part in parts[1:]:
            axis, _, size = part.partition("=")
            if not axis or axis == "strategy" or axis in axes:
                raise error
            if not size.isdecimal() or size != str(int(size)):
                raise error
            axes[axis] = int(size)
        return cls(family, strategy, axes)


@dataclass(frozen=True)
class Accuracy:
    """How far a result is from the oracle, at the worst place of all.

    Attributes:
        error: The absolute error there; NaN if nothing, or no number, was written.
        bound: The largest error that a right answer may have there.
        index: Where that place is, one number per dimension of the result.
        actual: The value that the strategy wrote there.
        expected: The oracle's value there.
    """

    error: float
    bound: float
    index: tuple[int, ...]
    actual: float
    expected: float

    @property
    def right(self) -> bool:
        """True if the error is a number and within its bound."""
        return self.error <= self.bound


@dataclass(frozen=True)
class Workload:
    """A prepared case: what to call, and what work one call of it is.

    Attributes:
        case: The case that was prepared.
        run: The call to time. It allocates nothing that could be allocated before.
        flops: Floating-point operations of one run; a multiplication and an addition count as two.
        bytes: Bytes that one run reads and writes, as if there were no caches.
        calls: How often the loop of one run calls the framework.
        poison: Makes every trace of an earlier run unusable: it sets outputs to NaN, or a state
            to its start.
        check: Compares what the last run left behind with the oracle.
        tiny: The same loop on so little data that its time is what its calls cost beside their
            arithmetic; None if there is no such workload.
        product: Rows and columns of the matrix product that one call makes; None if the calls make
            no matrix products.
        facts: What else belongs in the record, for example dtype, device and the name of the data.
    """

    case: Case
    run: Callable[[], object]
    flops: int
    bytes: int
    calls: int
    poison: Callable[[], object]
    check: Callable[[], Accuracy]
    tiny: Workload | None = None
    product: tuple[int, int] | None = None
    facts: Mapping[str, str | int | float] = field(default_factory=dict)


class WrongAnswerError(FloplineError, ArithmeticError):
    """A strategy computed something else than the oracle; a wrong answer is never timed."""


def verify(workload: Workload) -> Accuracy:
    """Runs a workload once on poisoned outputs and compares the result with its oracle.

    Raises:
        WrongAnswerError: The largest error is beyond its bound, or a cell was not written.
    """
    workload.poison()
    workload.run()
    accuracy = workload.check()
    if accuracy.right:
        return accuracy
    raise WrongAnswerError(
        f"{workload.case.name}: wrong answer, worst at {list(accuracy.index)}: "
        f"{_difference(accuracy)}. It was not timed; correct the strategy, then measure it."
    )


def _difference(accuracy: Accuracy) -> str:
    """Returns what is wrong at the worst place, in words."""
    if math.isfinite(accuracy.error):
        return (
            f"{accuracy.actual:.9g} instead of {accuracy.expected:.9g}, "
            f"error {accuracy.error:.3g}, bound {accuracy.bound:.3g}"
        )
    return (
        f"{accuracy.actual} instead of {accuracy.expected:.9g}: "
        "a cell that was not written, or not a number"
    )
