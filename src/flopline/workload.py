"""What is measured: cases, the workloads that they become, and how a result is known to be right.

Nothing here imports torch, so that names can be listed quickly. A workload may come from any
project: `verify` and the pytest fixture `measure` do not ask who prepared it.
"""

from __future__ import annotations

import contextlib
import decimal
import math
import numbers
import signal
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from flopline import FloplineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType

    from torch import Tensor


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
        change: Writes other values into the operands, in place, and leaves outputs as they are, so
            that the answer of an earlier run is wrong from then on; None if the operands cannot be
            changed.
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
    change: Callable[[], object] | None = None


class RefusedError(FloplineError):
    """A workload is not measured, or what was measured of it is not kept."""


class WrongAnswerError(RefusedError, ArithmeticError):
    """A strategy computed something else than the oracle; a wrong answer is never timed."""


def verify(workload: Workload) -> Accuracy:
    """Runs a workload once on poisoned outputs and compares the result with its oracle.

    Raises:
        WrongAnswerError: The largest error is beyond its bound, or a cell was not written.
        ChangedOperandError: The run changed what it must only read.
    """
    workload.poison()
    workload.run()
    accuracy = workload.check()
    if accuracy.right:
        return accuracy
    raise WrongAnswerError(
        f"{workload.case.name}: wrong answer, {_worst(accuracy)}. "
        "It was not timed; correct the strategy, then measure it."
    )


CHANGES = 3
"""Runs of `verify_again` on operands that have just changed."""


def verify_again(workload: Workload) -> None:
    """Verifies a workload that was verified before and has been timed since.

    It must give the right answer on poisoned outputs as before, and on operands that have changed
    since they were last used, with outputs that hold the answer from before the change. So a
    strategy is refused that is right only a few times, that recognises the poison, or that gives
    the answer of an earlier run again.

    Raises:
        WrongAnswerError: One of these answers is wrong.
        ChangedOperandError: A run changed what it must only read.
    """
    workload.poison()
    workload.run()
    _require_still_right(workload, "afterwards")
    if workload.change is None:
        return
    for _ in range(CHANGES):
        workload.change()
        workload.run()
        _require_still_right(workload, "on operands that had changed in place")


def _require_still_right(workload: Workload, when: str) -> None:
    accuracy = workload.check()
    if not accuracy.right:
        raise WrongAnswerError(
            f"{workload.case.name}: wrong answer {when}, although it was right at first, "
            f"{_worst(accuracy)}. What was timed is not kept; correct the strategy, then measure "
            "it again."
        )


class ChangedOperandError(RefusedError, ValueError):
    """A strategy changed what it must only read, or put another tensor in an output's place."""


class Operands:
    """The tensors of a workload by name, with private copies of those that are only read.

    Args:
        case: The case that they belong to.
        inputs: Tensors that a strategy must not change.
        output: The tensor that it writes; its values are free, its place in memory is not.
    """

    def __init__(self, case: Case, inputs: Mapping[str, Tensor], output: Tensor) -> None:
        self._case = case
        self._inputs = dict(inputs)
        self._all = {**inputs, "the output": output}
        self._layouts = {name: _layout(tensor) for name, tensor in self._all.items()}
        self._copies: dict[str, Tensor] = {}
        self.keep()

    def keep(self) -> None:
        """Takes the present values of the inputs for those that a run must leave."""
        self._copies = {name: tensor.clone() for name, tensor in self._inputs.items()}

    def __getitem__(self, name: str) -> Tensor:
        """Returns the private copy of an input."""
        return self._copies[name]

    def refuse_changes(self) -> None:
        """Compares every tensor with what it was.

        Raises:
            ChangedOperandError: One differs in a value, in shape, strides, or place in memory.
        """
        for name, tensor in self._all.items():
            if _layout(tensor) != self._layouts[name]:
                raise self._error(name, "shape, strides, gradient or memory are others")
        for name, tensor in self._inputs.items():
            differs = tensor != self._copies[name]
            if bool(differs.any()):
                place = tuple(differs.nonzero()[0].tolist())
                before, after = self._copies[name][place].item(), tensor[place].item()
                raise self._error(
                    name, f"at {list(place)} it is {after:.9g} instead of {before:.9g}"
                )

    def _error(self, name: str, difference: str) -> ChangedOperandError:
        return ChangedOperandError(
            f"{self._case.name}: the strategy changed {name}: {difference}. Inputs are only read, "
            "and the output is written where it is; correct the strategy, then measure it."
        )


def _layout(tensor: Tensor) -> tuple[object, ...]:
    place = tensor.data_ptr(), tensor.storage_offset()
    return (*place, tuple(tensor.shape), tensor.stride(), tensor.dtype, tensor.requires_grad)


class RememberedAnswerError(RefusedError, ValueError):
    """A strategy is fast only where it has seen the operands before."""


MEMORY_FACTOR = 3.0
"""How many times as long a run on changed operands may take as the same run once more."""

MEMORY_SECONDS = 50e-6
"""What a run on changed operands may take longer in any case: caches and branches are cold."""


def is_remembered(fresh: float, same: float) -> bool:
    """Returns true if a run on changed operands is much slower than the same run once more.

    Args:
        fresh: Seconds of a run on operands that have just changed, the fastest of several.
        same: Seconds of a run on operands that it has seen, the fastest of several.
    """
    return fresh > MEMORY_FACTOR * same + MEMORY_SECONDS


class FailedRunError(RefusedError, RuntimeError):
    """A strategy raised an exception, or asked to end the program."""


@contextlib.contextmanager
def contained(what: str) -> Iterator[None]:
    """Runs foreign code that may raise anything: what it raises becomes a `FailedRunError`.

    Flopline's own errors pass, and so does Ctrl-C. That is told from a strategy that raises
    KeyboardInterrupt by whether a signal came.

    Args:
        what: What runs, for the message.

    Raises:
        FailedRunError: The code raised an exception, SystemExit, or what ends a test or a run of
            pytest.
    """
    interrupts: list[int] = []
    previous = signal.getsignal(signal.SIGINT)
    in_main_thread = threading.current_thread() is threading.main_thread()

    def note(number: int, frame: FrameType | None) -> None:
        interrupts.append(number)
        if callable(previous):
            previous(number, frame)

    listens = in_main_thread and callable(previous)
    try:
        if listens:
            signal.signal(signal.SIGINT, note)
        yield
    except FloplineError:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and (interrupts or not listens):
            raise
        raise FailedRunError(f"{what} raised {type(error).__name__}: {error}") from error
    finally:
        if listens and signal.getsignal(signal.SIGINT) is note:
            signal.signal(signal.SIGINT, previous)


class DeclarationError(RefusedError, TypeError):
    """What a workload says of itself cannot be part of a record."""


Plain = str | int | float | bool | None | list["Plain"] | dict[str, "Plain"]
"""What JSON can hold."""


MOST_WORK = 1e30
"""The most operations, bytes or calls that a run may declare: years of the fastest machines."""


def declared(workload: Workload) -> Workload:
    """Returns a workload whose work and facts are plain numbers and words.

    Numbers of numpy, torch and the standard library become int and float.

    Raises:
        DeclarationError: `flops`, `bytes` or `calls` is not a number of at least 0, or a fact is
            something that a record cannot hold.
    """
    name = workload.case.name
    work: dict[str, int] = {}
    for field_name in ("flops", "bytes", "calls"):
        value = plain(getattr(workload, field_name), f"{name}: {field_name}")
        if isinstance(value, bool) or not isinstance(value, int | float):
            value = -1
        if not 0 <= value <= MOST_WORK:
            raise DeclarationError(
                f"{name}: {field_name} is {getattr(workload, field_name)!r}; "
                f"allowed are numbers from 0 to {MOST_WORK:g}"
            )
        work[field_name] = round(value)
    facts = {}
    for fact, value in workload.facts.items():
        facts[str(fact)] = plain(value, f"{name}: the fact {fact!r}")
    return replace(workload, **work, facts=facts)  # type: ignore[arg-type]  # facts may nest


def plain(value: object, what: str) -> Plain:
    """Returns a value as JSON holds it; what is not a finite number becomes None.

    Args:
        value: A word, a number of any kind, a tensor or an array of one number, or lists and
            dictionaries of these.
        what: Its name, for the message.

    Raises:
        DeclarationError: The value is something else.
    """
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()
    converted: Plain
    if value is None or isinstance(value, bool):
        converted = value
    elif isinstance(value, str):
        converted = str(value)
    elif isinstance(value, numbers.Integral):
        converted = int(value)
    elif isinstance(value, numbers.Real | decimal.Decimal):
        converted = _finite(value)
    elif isinstance(value, list | tuple):
        converted = [plain(part, what) for part in value]
    elif isinstance(value, dict):
        converted = {str(key): plain(part, what) for key, part in value.items()}
    else:
        raise DeclarationError(
            f"{what} is {value!r}, of the type {type(value).__name__}; "
            "allowed are numbers and words"
        )
    return converted


def _finite(value: numbers.Real | decimal.Decimal) -> float | None:
    """Returns a number as a float, or None if it is not a finite one."""
    try:
        number = float(value)
    except (OverflowError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _worst(accuracy: Accuracy) -> str:
    """Returns where a result is worst, and what is wrong there."""
    place = f"worst at {list(accuracy.index)}: "
    if math.isfinite(accuracy.error):
        return (
            f"{place}{accuracy.actual:.9g} instead of {accuracy.expected:.9g}, "
            f"error {accuracy.error:.3g}, bound {accuracy.bound:.3g}"
        )
    return (
        f"{place}{accuracy.actual} instead of {accuracy.expected:.9g}: "
        "a cell that was not written, or not a number"
    )
