"""Suites written for pytest-codspeed: its marks, its fixture and its marks' arguments.

There a test is a benchmark as a whole if it has a mark and no fixture. Here pytest-benchmark's
fixture times it, so that it is a benchmark like any other.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import inspect
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

FIXTURES = frozenset({"benchmark", "codspeed_benchmark"})
MARKS = ("codspeed_benchmark", "benchmark")
ARGUMENTS = frozenset({"group", "min_time", "max_time", "max_rounds"})
"""What pytest-codspeed 5.0 accepts in its marks; it refuses everything else."""
OF_THE_SESSION = frozenset(
    {
        *("self", "node", "add_stats", "logger", "warner", "disabled"),
        *("cprofile_loops", "cprofile_dump"),
    }
)
"""Parameters of pytest-benchmark's fixture that are no arguments of its mark."""
CALLED_AGAIN = (
    "This test passed when it was called first, and failed when it was called again. A test that "
    "is a benchmark by its mark is called many times with the same fixtures, as pytest-codspeed "
    "does. Let it leave everything as it found it, or prepare each call in the setup of "
    "benchmark.pedantic."
)


class CodspeedPlugin:
    """Times marked tests, and gives pytest-benchmark what it can use of their marks.

    It is registered after all plugins that are installed, so that its fixture comes before
    pytest-codspeed's, and behind that of a suite.
    """

    __name__ = "flopline-codspeed"

    def pytest_configure(self, config: Any) -> None:
        """Declares the mark; pytest-benchmark declares the other one."""
        config.addinivalue_line("markers", "codspeed_benchmark: time the whole test")

    @pytest.fixture
    def codspeed_benchmark(self, benchmark: Any) -> Any:
        """Returns pytest-benchmark's fixture, which times for both."""
        return benchmark

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: Any) -> None:
        """Completes the mark before pytest-benchmark checks it."""
        complete_mark(item)

    @pytest.hookimpl(hookwrapper=True, trylast=True)
    def pytest_runtest_call(self, item: Any) -> Iterator[None]:
        """Times the test if it is a benchmark as a whole; plugins around it see it as it is."""
        with timed(item) if is_marked(item) else contextlib.nullcontext():
            yield


def uses_fixture(item: Any) -> bool:
    """Returns whether a test gets a benchmark fixture, or asks for it while it runs.

    The latter is seen in the test itself, which calls `request.getfixturevalue("benchmark")`.
    """
    if not FIXTURES.isdisjoint(getattr(item, "fixturenames", ())):
        return True
    code = getattr(getattr(item, "function", None), "__code__", None)
    return code is not None and (
        "getfixturevalue" in code.co_names and not FIXTURES.isdisjoint(_texts(code.co_consts))
    )


def _texts(constants: tuple[object, ...]) -> Iterator[str]:
    return (constant for constant in constants if isinstance(constant, str))


def is_marked(item: Any) -> bool:
    """Returns whether a test is a benchmark as a whole: by its mark, without a fixture.

    Many suites that pytest-codspeed never runs have a mark `benchmark` by which they select or
    leave out what is slow, or costs money. So that mark counts only where the suite is one for
    pytest-codspeed. A mark with arguments that only pytest-benchmark knows is no such mark either.
    It stands on a module or a class for those of its tests that have the fixture.
    """
    marks = _marks(item) if isinstance(item, pytest.Function) and not uses_fixture(item) else []
    if not marks:
        return False
    only_pytest_benchmark = accepted() - ARGUMENTS
    if any(only_pytest_benchmark & mark.kwargs.keys() for mark in marks):
        return False
    return marks[0].name == MARKS[0] or is_for_codspeed(item.config)


def is_for_codspeed(config: Any) -> bool:
    """Returns whether a suite is run with `--codspeed`, or where pytest-codspeed is installed."""
    asked = config.getoption("codspeed", default=False)
    return bool(asked) or importlib.util.find_spec("pytest_codspeed") is not None


def complete_mark(item: Any) -> None:
    """Gives a test the mark of pytest-benchmark that its marks amount to.

    What pytest-benchmark does not know is left out. `max_rounds` is such an argument. It limits how
    long pytest-codspeed measures, not how often a test may be called, because the warm-up of
    pytest-codspeed calls it without a limit.
    """
    marks = _marks(item)
    if not marks or any(mark.args for mark in marks):
        return  # positional arguments are an error of both plugins
    options: dict[str, Any] = {}
    for mark in reversed(marks):
        options |= mark.kwargs
    kept = {name: value for name, value in options.items() if name in accepted()}
    present = item.get_closest_marker("benchmark")
    if present is None or present.kwargs != kept:
        item.add_marker(pytest.mark.benchmark(**kept), append=False)


def _marks(item: Any) -> list[Any]:
    """Returns the closest mark of each name; the first of them counts more."""
    closest = [item.get_closest_marker(name) for name in MARKS]
    return [mark for mark in closest if mark is not None]


@functools.cache
def accepted() -> frozenset[str]:
    """Returns the arguments that the installed pytest-benchmark accepts in its mark."""
    # Not earlier, for the reason in `LockstepPlugin.pytest_configure`.
    from pytest_benchmark.fixture import BenchmarkFixture

    return frozenset(inspect.signature(BenchmarkFixture.__init__).parameters) - OF_THE_SESSION


@contextlib.contextmanager
def timed(item: Any) -> Iterator[None]:
    """Lets pytest-benchmark's fixture call a test, while pytest believes that it calls the test.

    The function itself is timed. Of an asynchronous test this is all that its plugin does in order
    to run it, because only that can be called from here.
    """
    name = "runtest" if inspect.iscoroutinefunction(item.obj) else "obj"
    function = getattr(item, name)

    @functools.wraps(function)
    def call(**arguments: Any) -> Any:
        fixture = item._request.getfixturevalue("benchmark")
        try:
            return fixture(function, **arguments)
        except BaseException as error:
            if fixture.stats is not None and fixture.stats.stats.data:
                error.add_note(CALLED_AGAIN)
            raise

    setattr(item, name, call)
    try:
        yield
    finally:
        setattr(item, name, function)
