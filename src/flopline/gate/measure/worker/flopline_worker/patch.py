"""Two methods of pytest-benchmark, replaced by ones that let the coordinator time the function.

`BenchmarkFixture._raw` and `._raw_pedantic` are the methods in which pytest-benchmark times. Their
parameters are checked before they are replaced. Fixture, markers, statistics and reports remain
pytest-benchmark's own.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import inspect
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol

import pytest_benchmark.fixture
from pytest_benchmark.fixture import BenchmarkFixture
from pytest_benchmark.timers import default_timer  # type: ignore[attr-defined]  # it has no __all__

from .meter import NOTHING, Meter, cost_of_a_round
from .protocol import Abort, Ready
from .turns import serve

if TYPE_CHECKING:
    from collections.abc import Callable

    from .link import Link
    from .meter import Cost
    from .protocol import Reading

    Arguments = tuple[tuple[Any, ...], dict[str, Any]]

RAW = ("self", "function_to_benchmark", "args", "kwargs")
PEDANTIC_UNTIL_5_1 = (
    *("self", "target", "args", "kwargs", "setup"),
    *("rounds", "warmup_rounds", "iterations"),
)
PEDANTIC_SINCE_5_2 = (
    *("self", "target", "args", "kwargs", "setup", "teardown"),
    *("rounds", "warmup_rounds", "iterations"),
)
SUPPORTED: dict[str, set[tuple[str, ...]]] = {
    "_raw": {RAW},
    "_raw_pedantic": {PEDANTIC_UNTIL_5_1, PEDANTIC_SINCE_5_2},
}
"""The parameters of each replaced method in the versions 4.0 to 5.3."""


class PlainTimer:
    """The timer of a suite that sets none; it is not looked up in a module, see `originals`."""

    default = default_timer


class UnsupportedVersionError(RuntimeError):
    """The installed pytest-benchmark has methods that this file does not know."""


def patch(link: Link) -> None:
    """Replaces the two methods in which pytest-benchmark times.

    Raises:
        UnsupportedVersionError: A method has parameters that this file was not written for.
    """
    for name, supported in SUPPORTED.items():
        parameters = tuple(inspect.signature(getattr(BenchmarkFixture, name)).parameters)
        if parameters not in supported:
            version = importlib.metadata.version("pytest-benchmark")
            raise UnsupportedVersionError(
                f"pytest-benchmark {version} is not supported: BenchmarkFixture.{name} has the "
                f"parameters {parameters}; the versions 4.0 to 5.3 are supported, install one of "
                f"them"
            )
    for name, replacement in (("_raw", raw), ("_raw_pedantic", pedantic)):
        original = getattr(BenchmarkFixture, name)
        setattr(BenchmarkFixture, name, functools.partialmethod(replacement, link, original))


def raw(
    fixture: Any,
    link: Link,
    original: Callable[..., Any],
    function: Callable[..., Any],
    /,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Times `benchmark(function, *args, **kwargs)`, and returns what the function returned."""
    if not fixture.enabled:
        return original(fixture, function, *args, **kwargs)
    calls = PlainCalls(fixture, function, (args, kwargs))
    time_in_turns(link, fixture, calls, allowed_rounds=None)
    return calls.results[0]


def pedantic(
    fixture: Any,
    link: Link,
    original: Callable[..., Any],
    target: Callable[..., Any],
    /,
    **parameters: Any,
) -> Any:
    """Times `benchmark.pedantic(target, **parameters)`, and returns what the target returned."""
    if not fixture.enabled:
        return original(fixture, target, **parameters)
    call = PedanticCall(original, target, **with_plain_setup(parameters))
    call.validate()
    # Without a setup, the author did not promise that the target may be called more often than
    # this. With one, every call gets a state of its own.
    promised = call.rounds + call.warmup_rounds
    if not call.setup and not call.teardown:
        plain = PlainCalls(fixture, target, call.arguments())
        time_in_turns(link, fixture, plain, allowed_rounds=promised * call.iterations)
        return plain.results[0]
    prepared = PreparedRounds(fixture, call)
    time_in_turns(
        link,
        fixture,
        prepared,
        allowed_rounds=None if call.setup else promised,
        calls_per_round=call.iterations,
    )
    return prepared.results[0] if prepared.results else call.once()


def with_plain_setup(parameters: dict[str, Any]) -> dict[str, Any]:
    """Returns the parameters of a pedantic call with a setup that is called without arguments.

    So pytest-benchmark calls it, while pytest-codspeed gives it the arguments of the target. It
    gets them if it can be called with them and cannot be called without.
    """
    setup, args = parameters.get("setup"), parameters.get("args") or ()
    kwargs = parameters.get("kwargs") or {}
    if setup is None or takes(setup) or not takes(setup, *args, **kwargs):
        return parameters
    return {**parameters, "setup": functools.partial(setup, *args, **kwargs)}


def takes(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> bool:
    """Returns whether a function can be called so; functions that do not tell can, without any."""
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return False
    except ValueError:
        return not (args or kwargs)
    return True


@dataclass(frozen=True)
class PedanticCall:
    """A call of `benchmark.pedantic`; the attributes are its parameters.

    Attributes:
        original: pytest-benchmark's own method.
    """

    original: Callable[..., Any]
    target: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] | None = None
    setup: Callable[[], Any] | None = None
    teardown: Callable[..., Any] | None = None
    rounds: int = 1
    warmup_rounds: int = 0
    iterations: int = 1

    def validate(self) -> None:
        """Raises what pytest-benchmark raises for parameters that are not valid; calls nothing."""
        self._as_disabled(_no_arguments if self.setup else None)

    def arguments(self) -> Arguments:
        """Returns the arguments of the next call of the target, after the setup if there is one."""
        return self._as_disabled(self.setup)

    def once(self) -> Any:
        """Calls the target once without timing, and returns what it returned."""
        args, kwargs = self.arguments()
        result = self.target(*args, **kwargs)
        if self.teardown is not None:
            self.teardown(*args, **kwargs)
        return result

    def _as_disabled(self, setup: Callable[[], Any] | None) -> Arguments:
        """Returns the arguments with which pytest-benchmark would call the target.

        Where benchmarks are disabled, its method validates the parameters, runs the setup and calls
        the target once. Called for a fixture that is only disabled, with a target that returns its
        arguments, it makes arguments by its own rules, which therefore do not stand here again.
        """
        arguments: Arguments = self.original(
            SimpleNamespace(disabled=True, enabled=False),
            _arguments,
            args=self.args,
            kwargs=self.kwargs,
            setup=setup,
            rounds=self.rounds,
            warmup_rounds=self.warmup_rounds,
            iterations=self.iterations,
        )
        return arguments


def _arguments(*args: Any, **kwargs: Any) -> Arguments:
    return args, kwargs


def _no_arguments() -> None:
    """Stands for a setup that must not be run."""


class Rounds(Protocol):
    """What is repeated to fill a batch.

    Attributes:
        results: What the last call returned, as the only element, if that is known.
    """

    results: list[Any]

    def run(self, rounds: int, meter: Meter) -> float:
        """Runs rounds, their timed parts inside the meter; returns seconds on the suite's timer."""

    def cost(self, rounds: int) -> Cost:
        """Returns what measuring a batch of so many rounds costs."""

    def prepare(self) -> Callable[[], object]:
        """Returns a call of the benchmarked function without arguments."""


class CountedCall(functools.partial[Any]):
    """A call that is made to count what it calls.

    Attributes:
        results: Where its result is kept, so that the test needs no other call; see `PlainCalls`.
        teardown: What the test has to be called after it; None if there is nothing.
    """

    results: list[Any] | None = None
    teardown: Callable[[], object] | None = None

    def keep(self, result: Any) -> None:
        """Keeps what the call returned, and tears down what was set up for it."""
        if self.results is not None:
            self.results[:] = [result]
        if self.teardown is not None:
            self.teardown()


class PlainCalls:
    """Rounds that are calls with the same arguments.

    Attributes:
        results: What the last call returned, as the only element; empty before the first call. It
            is kept, because returning it to the test must not take another call.
    """

    def __init__(self, fixture: Any, function: Callable[..., Any], arguments: Arguments) -> None:
        self.fixture = fixture
        self.function = function
        self.args, self.kwargs = arguments
        self.runner = fixture._make_runner(function, self.args, self.kwargs)
        self.results: list[Any] = []

    def run(self, rounds: int, meter: Meter) -> float:
        """Runs rounds, all of them inside the meter; returns seconds on the suite's timer."""
        before_last = 0.0
        with meter:
            if rounds > 1:
                before_last = self.runner(range(rounds - 1))
            last, self.results[:] = _with_results(self.runner(None))
        return float(before_last + last)

    def cost(self, rounds: int) -> Cost:
        """Returns what measuring a batch of so many rounds costs; all rounds together are one."""
        return cost_of_calls(self.fixture, min(rounds, 2))

    def prepare(self) -> Callable[[], object]:
        """Returns a call of the benchmarked function without arguments."""
        call = CountedCall(self.function, *self.args, **self.kwargs)
        call.results = self.results
        return call


class PreparedRounds:
    """Rounds around which the test's own setup and teardown run untimed.

    Attributes:
        results: As in `PlainCalls`; empty if a round has several calls, because pytest-benchmark
            does not keep their results.
    """

    def __init__(self, fixture: Any, call: PedanticCall) -> None:
        self.fixture = fixture
        self.call = call
        self.results: list[Any] = []

    def run(self, rounds: int, meter: Meter) -> float:
        """Runs rounds, their calls inside the meter; returns seconds on the suite's timer."""
        call = self.call
        several = range(call.iterations) if call.iterations > 1 else None
        seconds = 0.0
        for _ in range(rounds):
            args, kwargs = call.arguments()
            runner = self.fixture._make_runner(call.target, args, kwargs)
            with meter:
                timed = runner(several)
            if several is None:
                duration, self.results[:] = _with_results(timed)
            else:
                duration = timed
            seconds += duration
            if call.teardown is not None:
                call.teardown(*args, **kwargs)
        return seconds

    def cost(self, rounds: int) -> Cost:
        """Returns what measuring a batch of so many rounds costs; each is measured for itself."""
        return cost_of_calls(self.fixture, 1).times(rounds)

    def prepare(self) -> Callable[[], object]:
        """Returns a call of the benchmarked function without arguments, after its setup."""
        args, kwargs = self.call.arguments()
        call = CountedCall(self.call.target, *args, **kwargs)
        if self.call.iterations == 1:
            call.results = self.results
        if self.call.teardown is not None:
            call.teardown = functools.partial(self.call.teardown, *args, **kwargs)
        return call


def nothing() -> None:
    """Is what is timed in order to know what measuring costs."""


COSTS: dict[tuple[int, bool], Cost] = {}
"""What was found out in this process."""


def cost_of_calls(fixture: Any, calls: int) -> Cost:
    """Returns what measuring one call, or several together, costs; it is measured once a process.

    Args:
        fixture: A benchmark fixture without a timer of the suite's own.
        calls: 1, or 2 for any number above it, for which pytest-benchmark reads its timer twice.
    """
    kind = (calls, bool(fixture._disable_gc))
    if kind not in COSTS:
        empty = PlainCalls(fixture, nothing, ((), {}))
        COSTS[kind] = cost_of_a_round(functools.partial(empty.run, calls))
    return COSTS[kind]


def _with_results(timed: tuple[float, Any]) -> tuple[float, list[Any]]:
    """Returns the duration and the result of a single call, the latter in a list."""
    duration, result = timed
    return duration, [result]


def time_in_turns(
    link: Link,
    fixture: Any,
    rounds: Rounds,
    *,
    allowed_rounds: int | None,
    calls_per_round: int = 1,
) -> None:
    """Lets the coordinator time rounds; pytest-benchmark's statistics then have the batches, too.

    Args:
        link: The pipes.
        fixture: The benchmark fixture.
        rounds: What is timed.
        allowed_rounds: Rounds that the test's author allows; None where there is no limit.
        calls_per_round: Calls of the benchmarked function in a round.
    """
    has_own_timer = fixture._timer is not PlainTimer.default
    # Until 5.1 there is no such class, because the runner pauses tracers and profilers itself.
    pause = getattr(pytest_benchmark.fixture, "PauseInstrumentation", contextlib.nullcontext)
    stats = fixture._make_stats(1)

    def batch(count: int) -> Reading:
        meter = Meter()
        with pause():
            # A timer of the suite's is not called more often than the suite does.
            cost = NOTHING if has_own_timer else rounds.cost(count)
            duration = rounds.run(count, meter)
        calls = count * calls_per_round
        stats.update(duration / calls)
        return meter.reading(calls, duration if has_own_timer else None, cost)

    link.send(Ready(allowed_rounds, isinstance(rounds, PreparedRounds)))
    command = serve(link, batch, rounds.prepare)
    if isinstance(command, Abort) and not stats.stats.data and not rounds.results:
        batch(1)
