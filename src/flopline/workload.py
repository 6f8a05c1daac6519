"""What is measured: cases, the workloads they become, and the strategies that do the work.

Nothing here imports torch, so that names can be listed quickly. A workload may be anybody's: `verify` and the pytest
fixture `measure` take those of other projects too.
"""

from __future__ import annotations

import difflib
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, Self, TypeVar

Function = TypeVar("Function", bound=Callable[..., object])


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
        return "/".join([self.family, f"strategy={self.strategy}", *(f"{key}={n}" for key, n in self.axes.items())])

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
            and all(key and value.isdecimal() and value == str(int(value)) for key, _, value in pairs[1:])
        )
        if not valid:
            raise ValueError(f"{name!r} is not a case; a case reads family/strategy=NAME/axis=NUMBER/...")
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


class UnknownStrategyError(KeyError):
    """No strategy of that name is built in or installed."""

    def __str__(self) -> str:  # KeyError shows its message quoted
        return str(self.args[0])


class Registry(Mapping[str, Function], Generic[Function]):
    """The strategies of one family by name: built-in functions, then entry points of installed distributions.

    Entry points are looked up when first asked for and loaded only when used. A built-in wins over an installed
    strategy of the same name, with a warning.

    Args:
        group: The entry points' group, for example `flopline.matmul`.
    """

    def __init__(self, group: str) -> None:
        self.group = group
        self._functions: dict[str, Function] = {}
        self._installed: dict[str, EntryPoint] | None = None

    def strategy(self, function: Function) -> Function:
        """Registers a function under its own name; a decorator.

        Raises:
            ValueError: The name is taken.
        """
        name = function.__name__
        if name in self._functions:
            raise ValueError(f"{self.group}: a strategy named {name!r} exists already; choose another function name")
        self._functions[name] = function
        return function

    def __getitem__(self, name: str) -> Function:
        if name in self._functions:
            return self._functions[name]
        if name in self.installed():
            function: Function = self.installed()[name].load()
            if not callable(function):
                raise TypeError(f"{self.group}: {name!r} is {function!r}; a strategy is a function")
            self._functions[name] = function
            return function
        near = difflib.get_close_matches(name, list(self), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise UnknownStrategyError(f"{self.group}: no strategy {name!r}.{hint} There are: {', '.join(self)}.")

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._functions, *self.installed()]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in self._functions or name in self.installed()

    def installed(self) -> Mapping[str, EntryPoint]:
        """The entry points that add a strategy, by name, not loaded."""
        if self._installed is None:
            found = installed(self.group)
            for name in [name for name in found if name in self._functions]:
                warnings.warn(
                    f"{self.group}: {name!r} is built in; the one of {provider(found.pop(name))} is left out",
                    stacklevel=2,
                )
            self._installed = found
        return self._installed


def installed(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group by name; of two with one name the first on the path counts, with a warning."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=group):
        if point.name in found and found[point.name].value != point.value:
            warnings.warn(
                f"{group}: {point.name!r} is provided by {provider(found[point.name])} and by {provider(point)}; "
                "the first is used",
                stacklevel=2,
            )
        found.setdefault(point.name, point)
    return found


def provider(point: EntryPoint) -> str:
    """The distribution that an entry point came with, as `name version`."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown distribution"
