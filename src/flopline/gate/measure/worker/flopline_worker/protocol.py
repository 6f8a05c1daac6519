"""The messages between the coordinator and a worker, for both ends.

A message is one line of JSON. Every line carries the epoch, the number of benchmarks that the
worker has entered so far, so that a late message is not taken for one of the next benchmark.

The worker imports this file in the environment that it measures, so it needs nothing but the
standard library.
"""

from __future__ import annotations

import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Self

from .originals import Original

LARGEST = 1e15
"""No number in a message is as large; a larger one was not counted or measured."""


class MessageError(ValueError):
    """A line is no message. Whoever sent it is not, or no longer, a sound worker."""


class Reading(NamedTuple):
    """What the clocks and counters of a worker read for one batch.

    Attributes:
        calls: Calls of the benchmarked function in the batch.
        wall: Seconds on the monotonic clock.
        cpu: CPU seconds of the calling thread.
        process: CPU seconds of the whole process.
        voluntary: Voluntary context switches of the calling thread.
        involuntary: Involuntary context switches of the calling thread.
        timer: Seconds by the suite's own timer; None where it set none.
        children: CPU seconds of child processes.
    """

    calls: int
    wall: float
    cpu: float
    process: float
    voluntary: int
    involuntary: int
    timer: float | None = None
    children: float = 0.0


class CallSite(NamedTuple):
    """How often a line called a function, during one call of a benchmarked function.

    Attributes:
        function: Qualified name of the function that is called. It has no module for a Python
            function (`prepare.<locals>.run`), the type for a method in C (`Tensor.contiguous`), and
            the module for a function in C (`math.sqrt`) unless that is a builtin (`len`).
        file: Path of the calling line's file.
        line: Number of the calling line.
        calls: How often it called the function.
        seconds: Time in these calls, including what they called in turn.
    """

    function: str
    file: str
    line: int
    calls: int
    seconds: float


class CollectedBenchmark(NamedTuple):
    """A benchmark that pytest collected, or that asv_runner discovered.

    Attributes:
        name: pytest's node id; in an asv suite, asv's name with the parameters.
        file: Its file, relative to the folder in which the worker was started.
        digest: A hash of the test function's source; empty where there is no source.
    """

    name: str
    file: str
    digest: str


class CollectionError(NamedTuple):
    """A file that pytest could not collect, and the end of the error's text."""

    file: str
    text: str


class LoadedFile(NamedTuple):
    """A file from which a worker has loaded code.

    Attributes:
        file: Its path, after links are followed.
        module: The module that it is; empty where the code was loaded in another way.
        digest: A hash of its content if it is the side's own; otherwise empty.
    """

    file: str
    module: str
    digest: str


@dataclass(frozen=True)
class Message:
    """The base of all messages."""

    def to_line(self, epoch: int) -> bytes:
        """Returns the message as a line of JSON."""
        fields = {"kind": type(self).__name__, "epoch": epoch, **vars(self)}
        return Original.encode(fields).encode() + b"\n"

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Self:
        """Returns the message with these fields, as JSON gives them.

        Raises:
            MessageError: A field is missing, is unknown, or has a value of another type.
        """
        return cls(**_checked(cls, fields))


def from_line(line: bytes | bytearray) -> tuple[int, Message]:
    """Returns the epoch and the message of a line.

    Raises:
        MessageError: The line is not JSON, is no known kind of message, or has other fields or
            other types than that kind.
    """
    try:
        fields = Original.decode(line.decode())
    except (ValueError, RecursionError) as error:
        raise MessageError(f"no JSON: {error}") from None
    if not isinstance(fields, dict):
        raise MessageError("no JSON object")
    kind, epoch = fields.pop("kind", None), fields.pop("epoch", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise MessageError(f"no known kind: {kind!r:.100}")
    if type(epoch) is not int or not 0 <= epoch < LARGEST:
        raise MessageError(f"no epoch: {epoch!r:.100}")
    return epoch, KINDS[kind].from_fields(fields)


def _checked(kind: type, fields: dict[str, Any]) -> dict[str, Any]:
    """Returns the fields of a message, in which rows have become named tuples.

    Raises:
        MessageError: A field is missing, is unknown, or has a value of another type.
    """
    hints = HINTS[kind]
    if fields.keys() != hints.keys():
        raise MessageError(f"{kind.__name__} with the fields {sorted(fields)!r:.100}")
    return {name: _typed(value, hints[name], name) for name, value in fields.items()}


def _typed(value: Any, hint: Any, name: str) -> Any:
    """Returns a value that JSON gave as a value of a type.

    Raises:
        MessageError: It is of another type, or is a number that nothing counts or measures.
    """
    # The numbers of the readings come first, because there are thousands of them.
    if hint in (float, int):
        if (type(value) is int or type(value) is hint) and abs(value) < LARGEST:
            return value
    elif hint in (bool, str):
        if type(value) is hint:
            return value
    elif hasattr(hint, "_fields"):
        if isinstance(value, list):
            return _row(value, hint)
    else:
        return _composed(value, hint, name)
    raise MessageError(f"{name} is {value!r:.100}")


def _composed(value: Any, hint: Any, name: str) -> Any:
    """Returns a value that JSON gave as a value of a type that is made of others.

    Raises:
        MessageError: It is of another type.
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:  # of something and None
        return None if value is None else _typed(value, inner[0], name)
    if origin is list and isinstance(value, list):
        return [_typed(element, inner[0], name) for element in value]
    if origin is dict and isinstance(value, dict):
        return {key: _typed(element, inner[1], name) for key, element in value.items()}
    if origin is Literal and value in inner:
        return value
    raise MessageError(f"{name} is {value!r:.100}")


def _row(values: list[Any], kind: Any) -> Any:
    """Returns the values as a named tuple.

    Raises:
        MessageError: There are too few or too many values, or one is of another type.
    """
    if kind is Reading and tuple(map(type, values)) in USUAL_READINGS:
        row = Reading(*values)
        counts = map(abs, (row.calls, row.voluntary, row.involuntary))
        seconds = map(abs, (row.wall, row.cpu, row.process, row.timer or 0.0, row.children))
        # A sum is as large as a summand, and is no number if a summand is none.
        if max(counts) < LARGEST and sum(seconds) < LARGEST:
            return row
    hints = HINTS[kind]
    if len(values) != len(hints):
        raise MessageError(f"{kind.__name__} with {len(values)} values")
    for value, (name, hint) in zip(values, hints.items(), strict=True):
        _typed(value, hint, name)
    return kind(*values)


# From the worker to the coordinator


@dataclass(frozen=True)
class Hello(Message):
    """The worker has started.

    Attributes:
        python: The interpreter's version.
        randomised: Whether address-space randomisation is still on.
        packages: Versions of the distributions that the interpreter sees, by name.
    """

    python: str
    randomised: bool
    packages: dict[str, str]


@dataclass(frozen=True)
class Collection(Message):
    """The benchmarks that pytest collected in its order, and the files that it could not collect.

    The worker waits for a command.

    Attributes:
        benchmarks: The benchmarks.
        errors: What could not be collected.
        unpaired: Names of an asv suite's benchmarks that are not timed calls of a function.
    """

    benchmarks: list[CollectedBenchmark]
    errors: list[CollectionError]
    unpaired: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Entered(Message):
    """A benchmark begins, and with it a new epoch.

    For every benchmark of the order, and in that order, a worker sends this message once and then
    `Finished` once, whatever happens in between.
    """

    benchmark: str


@dataclass(frozen=True)
class Ready(Message):
    """The test has called its benchmark fixture, and the worker waits for a command there.

    It is sent again in the same benchmark if a plugin runs the test again.

    Attributes:
        allowed_rounds: Rounds that the test's author allows; None where there is no limit.
        prepares: Whether a setup or teardown of the test's runs around every round.
    """

    allowed_rounds: int | None
    prepares: bool = False


@dataclass(frozen=True)
class BatchSize(Message):
    """The answer to `SizeBatch`.

    Attributes:
        rounds: Rounds that fill a batch.
        used: Rounds that were run to find out.
        slow: Whether finding out took so long that a single round is slow.
        last: The last batch that was run to find out; None if none was.
    """

    rounds: int
    used: int
    slow: bool
    last: Reading | None = None


@dataclass(frozen=True)
class GarbageCollected(Message):
    """The answer to `CollectGarbage`."""


@dataclass(frozen=True)
class Times(Message):
    """The answer to `TakeTurns`: the worker's own batches in time order."""

    batches: list[Reading]

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Self:
        """Returns the message with these fields, as JSON gives them.

        Raises:
            MessageError: As for every message; also where a batch has no call, or ends before it
                begins.
        """
        message = super().from_fields(fields)
        for batch in message.batches:
            if batch.calls < 1 or min(*batch[1:6], batch.children) < 0:
                raise MessageError(f"a batch reads {tuple(batch)}")
        return message


@dataclass(frozen=True)
class Calls(Message):
    """The answer to `CountCalls`."""

    sites: list[CallSite]


@dataclass(frozen=True)
class CallSum(Message):
    """The answer to `SumCalls`: the calls of functions in Python and in C."""

    calls: int


@dataclass(frozen=True)
class NotPassed(Message):
    """A phase of the benchmark's test failed or was skipped.

    Attributes:
        phase: The phase of the test.
        outcome: What happened in it. `rerun` means that a plugin runs the test again because of
            it, so that this attempt does not count.
        text: The end of the reason.
    """

    phase: Literal["setup", "call", "teardown"]
    outcome: Literal["failed", "skipped", "rerun"]
    text: str


@dataclass(frozen=True)
class Finished(Message):
    """The benchmark's test is over."""

    benchmark: str


@dataclass(frozen=True)
class Loaded(Message):
    """The session is over, and this code was loaded from the folders that the order names."""

    files: list[LoadedFile]


@dataclass(frozen=True)
class Imported(Message):
    """The session is over, and these modules were imported in it.

    Attributes:
        modules: Those of the environment, each after those it needs; see `imports`.
        elsewhere: Packages and modules that lie elsewhere.
        plugins: Packages and modules that pytest must import.
    """

    modules: list[str]
    elsewhere: list[str]
    plugins: list[str]


@dataclass(frozen=True)
class Bye(Message):
    """pytest has ended with this exit status.

    Attributes:
        status: pytest's exit status.
        text: Why the worker refused to measure; empty where it did not.
    """

    status: int
    text: str


# From the coordinator to the worker


@dataclass(frozen=True)
class Order(Message):
    """Run these benchmarks, in this order. It is the last command before the first benchmark.

    Attributes:
        benchmarks: Node ids.
        own: The folder in which the side has its code. If it is not empty, the worker reports at
            the end which files it has loaded from there and from `others`.
        others: Folders from which it should not load anything.
        imports: Whether the worker reports at the end what it has imported.
    """

    benchmarks: list[str]
    own: str = ""
    others: list[str] = field(default_factory=list)
    imports: bool = False


@dataclass(frozen=True)
class Pin(Message):
    """Move every thread of the process to these CPUs. This command is not answered."""

    cpus: list[int]


@dataclass(frozen=True)
class SizeBatch(Message):
    """Find out how many rounds fill a batch.

    Attributes:
        seconds: How long a batch should last.
        at_most: Rounds that may be run to find out; None where there is no limit.
    """

    seconds: float
    at_most: int | None


@dataclass(frozen=True)
class CollectGarbage(Message):
    """Collect garbage, and exclude from later collections what is left."""


@dataclass(frozen=True)
class TakeTurns(Message):
    """Run a batch at each of your turns.

    Attributes:
        rounds: Rounds in a batch.
        mine: For each turn of both workers, whether it is yours.
        series: The number of these turns, equal for both workers. It is part of every token, so
            that none is taken for one of other turns.
    """

    rounds: int
    mine: list[bool]
    series: int = 0


@dataclass(frozen=True)
class CountCalls(Message):
    """Call the benchmarked function once and count what it calls, by calling line."""


@dataclass(frozen=True)
class SumCalls(Message):
    """Call the benchmarked function once and count how many calls that makes."""


@dataclass(frozen=True)
class Stop(Message):
    """No more turns follow: return the function's value to the test and go on."""


@dataclass(frozen=True)
class Abort(Message):
    """The benchmark cannot be compared: call the function if it was never called, and go on."""


KINDS: dict[str, type[Message]] = {kind.__name__: kind for kind in Message.__subclasses__()}
"""Every message by the name that stands for it in a line."""

USUAL_READINGS = {
    (int, float, float, float, int, int, type(None), float),
    (int, float, float, float, int, int, float, float),
}
"""The types of the values of nearly all readings, so that not every value is looked at alone."""
ROWS = (Reading, CallSite, CollectedBenchmark, CollectionError, LoadedFile)
HINTS: dict[type, dict[str, Any]] = {
    kind: typing.get_type_hints(kind) for kind in (*KINDS.values(), *ROWS)
}
"""The types of the fields of every message and row, by name.

They are found out at once, because later a test may have replaced what that takes.
"""
