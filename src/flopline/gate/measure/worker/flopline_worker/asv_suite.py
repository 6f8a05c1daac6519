"""One session of an asv suite: what the pytest plugin is to a suite of pytest-benchmark.

asv_runner discovers the benchmarks, and makes their parameters, setups and functions. Here they are
run in one process and timed in turns. Each has what it finds under asv: an object of its own, what
`setup_cache` returned as a copy, and a current folder that is empty or the one of its cache.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import hashlib
import importlib
import itertools
import os
import pickle
import pkgutil
import re
import shutil
import signal
import sys
import tempfile
import traceback
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from asv_runner import discovery
from asv_runner._aux import update_sys_path
from asv_runner.benchmarks.mark import SkipNotImplemented
from asv_runner.benchmarks.time import TimeBenchmark, wall_timer
from asv_runner.benchmarks.timeraw import TimerawBenchmark

from .imports import imported_modules
from .meter import NOTHING, Meter, cost_of_a_round, spin
from .modules import loaded_files
from .originals import Original
from .protocol import (
    CollectedBenchmark,
    Collection,
    CollectionError,
    Entered,
    Finished,
    Imported,
    Loaded,
    NotPassed,
    Order,
    Ready,
)
from .turns import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .link import Link
    from .meter import Cost
    from .protocol import Reading

    Function = Callable[[], object]

NEEDED = ("set_cache", "_setup_isolates_timed_calls", "_param_bound_func", "redo_setup")
"""What a benchmark must have; version 0.3.0 of asv_runner was the first with all of it."""
TEXT = 4000
"""Characters of an error's text that are reported, counted from its end."""
SAME_NAME = "several benchmarks have this name, so a number could not be told to be one's"


class SuiteError(Exception):
    """The suite cannot be run here; the text says why."""


class Found(NamedTuple):
    """A benchmark with one combination of its parameters.

    Attributes:
        prototype: asv_runner's benchmark, which is never run itself.
        combination: The number of the combination.
    """

    prototype: Any
    combination: int


class AsvSession:
    """The session of one worker.

    Args:
        link: The pipes.
        environment: The folders from which the interpreter imports its own modules.
    """

    def __init__(self, link: Link, environment: tuple[str, ...]) -> None:
        self.link = link
        self.environment = environment
        self.home = Path.cwd()
        self.caches: dict[str, Cache] = {}

    def run(self, root: Path, patterns: Sequence[str]) -> None:
        """Reports the benchmarks of a suite, and runs those that the coordinator orders.

        Args:
            root: The folder of the suite.
            patterns: Regular expressions; a benchmark is reported if one is found in its name, or
                if there are none.

        Raises:
            SuiteError: The benchmarks cannot be discovered.
        """
        suite = discover(root)
        searches = [re.compile(pattern).search for pattern in patterns]

        def is_wanted(name: str) -> bool:
            return not searches or any(search(name) for search in searches)

        found = {name: each for name, each in suite.found.items() if is_wanted(name)}
        collected = [
            CollectedBenchmark(name, self._file(each), digest(each.prototype))
            for name, each in found.items()
        ]
        unpaired = [name for name in suite.unpaired if is_wanted(name)]
        errors = [error._replace(file=self._relative(error.file)) for error in suite.errors]
        self.link.send(Collection(collected, errors, unpaired))
        # Until the coordinator orders some, it can time the worker's own function.
        order = serve(self.link, spin, lambda: int)
        if not isinstance(order, Order):
            raise TypeError(f"an order of benchmarks was expected, not {order}")
        for name in order.benchmarks:
            self._run(name, found[name])
        if order.imports:
            self.link.send(Imported(*imported_modules(self.environment, order.others)))
        if order.own:
            self.link.send(Loaded(loaded_files(order.own, order.others)))

    def _file(self, found: Found) -> str:
        module = found.prototype._attr_sources[-1]
        return self._relative(getattr(module, "__file__", None) or "")

    def _relative(self, file: str) -> str:
        return os.path.relpath(file, self.home) if os.path.isabs(file) else file  # noqa: PTH117  # text

    def _run(self, name: str, found: Found) -> None:
        """Runs one benchmark; nothing that happens in it keeps the following ones from running."""
        self.link.epoch += 1
        self.link.send(Entered(name))
        phase = Phase()
        folder = Path(tempfile.mkdtemp(prefix="asv-"))
        try:
            benchmark = fresh(found)
            cache = self._cache(benchmark)
            Original.chdir(folder if cache is None else cache.folder)
            benchmark.set_cache(None if cache is None else cache.value())
            self._time(benchmark, phase)
        except SkipNotImplemented as error:
            self.link.send(NotPassed(phase.name, "skipped", str(error) or "it says so itself"))
        except BaseException as error:  # noqa: BLE001  # whatever a benchmark raises
            self.link.keep_to_the_worker()
            text = "".join(traceback.format_exception(error))
            self.link.send(NotPassed(phase.name, "failed", text[-TEXT:]))
        Original.chdir(self.home)
        shutil.rmtree(folder, ignore_errors=True)
        self.link.send(Finished(name))

    def _cache(self, benchmark: Any) -> Cache | None:
        """Returns what the benchmark's `setup_cache` has made, once in a session; None if none.

        Raises:
            Exception: It fails, as it does for every other benchmark that needs it.
        """
        key = benchmark.setup_cache_key
        if key is None:
            return None
        if key not in self.caches:
            self.caches[key] = Cache.make(benchmark)
        cache = self.caches[key]
        if cache.failure:
            raise SuiteError(f"setup_cache failed: {cache.failure}")
        return cache

    def _time(self, benchmark: Any, phase: Phase) -> None:
        """Sets a benchmark up, lets the coordinator time it, and tears it down."""
        with limit(benchmark.timeout):
            is_skipped = benchmark.do_setup()
        try:
            if is_skipped:
                self.link.send(NotPassed("setup", "skipped", "its setup or skip_params says so"))
                return
            phase.name = "call"
            rounds = Rounds(benchmark)
            self.link.send(Ready(allowed_rounds(benchmark), rounds.prepares))
            serve(self.link, rounds.batch, rounds.prepare)
        finally:
            before, phase.name = phase.name, "teardown"
            with limit(benchmark.timeout):
                benchmark.do_teardown()
            phase.name = before  # what has failed, if anything has, is not the teardown


@dataclass
class Phase:
    """The phase in which a benchmark is."""

    name: Any = "setup"


@dataclass
class Cache:
    """What a `setup_cache` has made.

    Attributes:
        folder: The folder in which it ran, and in which its benchmarks run.
        pickled: What it returned.
        failure: Why there is nothing; empty if there is something.
    """

    folder: Path
    pickled: bytes = b""
    failure: str = ""

    @classmethod
    def make(cls, benchmark: Any) -> Cache:
        """Runs the `setup_cache` of a benchmark, as asv does in a process of its own."""
        cache = cls(Path(tempfile.mkdtemp(prefix="asv-")))
        Original.chdir(cache.folder)
        try:
            with limit(benchmark.setup_cache_timeout):
                cache.pickled = pickle.dumps(benchmark.do_setup_cache())
        except BaseException as error:  # noqa: BLE001  # whatever it raises
            cache.failure = "".join(traceback.format_exception(error))[-TEXT:]
        return cache

    def value(self) -> Any:
        """Returns a copy of what it returned, because a benchmark may change it."""
        return pickle.loads(self.pickled)  # noqa: S301  # made by this process


# Discovery


@dataclass
class Discovered:
    """What a suite has.

    Attributes:
        found: The benchmarks that can be timed in turns, by name with parameters.
        unpaired: The names of the others.
        errors: The modules that cannot be imported, and names that several benchmarks have.
    """

    found: dict[str, Found] = field(default_factory=dict)
    unpaired: list[str] = field(default_factory=list)
    errors: list[CollectionError] = field(default_factory=list)


def discover(root: Path) -> Discovered:
    """Returns the benchmarks of a suite, as asv_runner discovers them.

    Raises:
        SuiteError: There is no such folder, another asv_runner is needed, or a benchmark cannot be
            made.
    """
    if not root.is_dir():
        raise SuiteError(f"there is no folder {root.name} with an asv suite")
    missing = [name for name in NEEDED if not hasattr(TimeBenchmark, name)]
    if missing:
        raise SuiteError(
            f"this asv_runner has no {', '.join(missing)}; install asv_runner 0.3.0 or newer there"
        )
    update_sys_path(str(root))
    suite = Discovered(errors=list(import_errors(root.name, str(root))))
    inside = (root.name, f"{root.name}.")
    marked = [name for name, module in list(sys.modules.items()) if module is None]
    failed = [name for name in marked if name == inside[0] or name.startswith(inside[1])]
    try:
        benchmarks = list(discovery.disc_benchmarks(str(root), ignore_import_errors=True))
    except BaseException as error:  # noqa: BLE001  # whatever the suite raises
        traceback.print_exc()
        raise SuiteError(
            f"asv_runner cannot discover the benchmarks in {root.name}: "
            f"{type(error).__name__}: {error}"
        ) from None
    for name in failed:
        del sys.modules[name]
    names: set[str] = set()
    for benchmark in benchmarks:
        if benchmark.name in names:
            suite.errors.append(CollectionError(benchmark.name, SAME_NAME))
        elif is_pairable(benchmark):
            for index, name in enumerate(combinations(benchmark)):
                suite.found[name] = Found(benchmark, index)
        else:
            suite.unpaired.append(benchmark.name)
        names.add(benchmark.name)
    return suite


def import_errors(name: str, file: str) -> Iterator[CollectionError]:
    """Imports a package with all its modules, as asv_runner does; yields what fails.

    Until somebody removes the mark that it gets, what has failed is not tried once more.

    Args:
        name: The package.
        file: Where it is.
    """
    try:
        module = importlib.import_module(name)
    except BaseException as error:  # noqa: BLE001  # as asv_runner
        sys.modules[name] = None  # type: ignore[assignment]  # this is what Python has for it
        yield CollectionError(file, f"{type(error).__name__}: {error}"[-TEXT:])
        return
    folders = getattr(module, "__path__", None)
    if folders:
        for finder, inner, is_package in pkgutil.iter_modules(folders):
            place = os.path.join(getattr(finder, "path", ""), inner)  # noqa: PTH118  # text
            ending = "/__init__.py" if is_package else ".py"
            yield from import_errors(f"{name}.{inner}", f"{place}{ending}")


def is_pairable(benchmark: Any) -> bool:
    """Returns whether a benchmark is a function whose calls are timed in the process itself."""
    return (
        isinstance(benchmark, TimeBenchmark)
        and not isinstance(benchmark, TimerawBenchmark)
        and type(benchmark).run is TimeBenchmark.run
    )


def combinations(benchmark: Any) -> list[str]:
    """Returns the names of a benchmark with each combination of parameters, as asv shows them."""
    if not benchmark.params:
        return [benchmark.name]
    return [
        f"{benchmark.name}({', '.join(values)})" for values in itertools.product(*benchmark.params)
    ]


def digest(benchmark: Any) -> str:
    """Returns a hash of the source of a benchmark and its setups."""
    return hashlib.sha256(benchmark.code.encode()).hexdigest()[:16]


def fresh(found: Found) -> Any:
    """Returns a benchmark with its parameters and an object of its own, which nothing has used.

    The object keeps what its setup makes only as long as the benchmark runs.
    """
    prototype = found.prototype
    function, *sources = prototype._attr_sources
    if len(sources) > 1:  # the object of a class, and the module
        instance = type(sources[0])()
        if getattr(function, "__self__", None) is sources[0]:
            function = types.MethodType(function.__func__, instance)
        sources[0] = instance
    benchmark = type(prototype)(prototype.name, function, [function, *sources])
    if benchmark.params:
        benchmark.set_param_idx(found.combination)
    return benchmark


# Timing


def allowed_rounds(benchmark: Any) -> int | None:
    """Returns how many calls the author allows; None where there is no limit.

    asv itself calls a function as often as fills its warm-up. Only where there is none, and numbers
    are given, no more calls than these are made.
    """
    repeat = benchmark.repeat
    is_limited = isinstance(repeat, int) and repeat > 0 and benchmark.number > 0
    if is_limited and benchmark.warmup_time == 0 and not isolates(benchmark):
        return int(benchmark.number * repeat)
    return None


def isolates(benchmark: Any) -> bool:
    """Returns whether setup and teardown run around every call."""
    return bool(benchmark._setups) and benchmark._setup_isolates_timed_calls


class Rounds:
    """Rounds that are calls of a benchmark's function.

    Attributes:
        prepares: Whether setup and teardown run around every one, outside of the meter.
    """

    def __init__(self, benchmark: Any) -> None:
        self.benchmark = benchmark
        self.function: Function = benchmark._param_bound_func(*benchmark._build_params())
        self.prepares = isolates(benchmark)
        self.has_own_timer = benchmark.timer is not wall_timer

    def batch(self, rounds: int) -> Reading:
        """Runs rounds without garbage collection, as asv does, and returns what they took."""
        cost = NOTHING
        if not self.has_own_timer:
            cost = cost_of_a_piece().times(rounds if self.prepares else 1)
        meter, seconds = Meter(), 0.0
        collecting = Original.is_collecting()
        Original.disable_collector()
        try:
            with limit(self.benchmark.timeout):
                if self.prepares:
                    for _ in range(rounds):
                        self.benchmark.redo_setup()
                        seconds += self._calls(1, meter)
                else:
                    seconds = self._calls(rounds, meter)
        finally:
            if collecting:
                Original.enable_collector()
        return meter.reading(rounds, seconds if self.has_own_timer else None, cost)

    def _calls(self, calls: int, meter: Meter) -> float:
        timer = self.benchmark.timer if self.has_own_timer else Original.perf_counter
        return timed_calls(self.function, calls, meter, timer)

    def prepare(self) -> Function:
        """Returns the function to call once more, after its setup."""
        if self.prepares:
            self.benchmark.redo_setup()
        return self.function


def timed_calls(function: Function, calls: int, meter: Meter, timer: Callable[[], float]) -> float:
    """Calls a function inside the meter; returns the seconds on a timer, as asv takes them."""
    with meter:
        start = timer()
        for _ in range(calls):
            function()
        return timer() - start


@functools.cache
def cost_of_a_piece() -> Cost:
    """Returns what measuring costs beside what asv would report; it is measured once a process."""

    def piece(meter: Meter) -> float:
        return timed_calls(nothing, 1, meter, Original.perf_counter)

    return cost_of_a_round(piece)


def nothing() -> None:
    """Is what is timed in order to know what measuring costs."""


@contextlib.contextmanager
def limit(seconds: float | None) -> Iterator[None]:
    """Raises TimeoutError in what takes longer than this, if it runs Python code; None never does.

    asv ends the process after this time.
    """
    if not seconds:
        yield
        return

    def end(_signal: int, _frame: object) -> None:
        raise TimeoutError(f"it took longer than its timeout of {seconds:g} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run(link: Link, environment: tuple[str, ...], folder: str, patterns: list[str]) -> str:
    """Runs the session of a suite; returns why it could not be measured, empty if it was."""
    gc.collect()
    try:
        AsvSession(link, environment).run(Path(folder).resolve(), patterns)
    except SuiteError as error:
        return str(error)
    sys.stdout.flush()
    return ""
