"""The pytest plugin: it reports what happens, and waits where the coordinator must decide."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import itertools
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from .codspeed import CodspeedPlugin, is_marked, uses_fixture
from .imports import imported_modules
from .meter import spin
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
)
from .turns import serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .link import Link

TEXT = 4000
"""Characters of an error's text that are reported, counted from its end."""
PASSED_OVER = "it was passed over: a plugin or conftest.py took the test and did not run it"
MISSING = (
    "pytest-benchmark, which does the timing also for suites written for pytest-codspeed, is not "
    "installed in {prefix}; install it there, for example with `{python} -m pip install "
    "pytest-benchmark` or `uv pip install --python {python} pytest-benchmark`"
)
SAME_NAME = "several tests have this name, so a number could not be told to be one's"


class LockstepPlugin:
    """The pytest plugin of one worker.

    Attributes:
        environment: The folders from which the interpreter imports its own modules.
        refusal: Why the session cannot measure; empty where it can.
        phases: Phases of the present test that have been reported.
    """

    __name__ = "flopline-lockstep"
    """The name under which pytest registers the plugin, so that a suite can ask who times it."""

    def __init__(self, link: Link, environment: tuple[str, ...] = ()) -> None:
        self.link = link
        self.environment = environment
        self.home = Path.cwd()
        self.errors: list[CollectionError] = []
        self.refusal = ""
        self.phases = 0
        self.order = Order([])

    def pytest_configure(self, config: Any) -> None:
        """Patches pytest-benchmark.

        Not earlier, because up to version 8 pytest warns of a plugin that was imported before it
        could rewrite its asserts, and suites turn warnings into errors.
        """
        try:
            from .patch import patch

            patch(self.link)
        except (ImportError, RuntimeError) as error:
            self.refusal = refusal(error)
            pytest.exit(self.refusal, returncode=pytest.ExitCode.USAGE_ERROR)
        config.pluginmanager.register(CodspeedPlugin(), CodspeedPlugin.__name__)

    def pytest_collectreport(self, report: Any) -> None:
        """Keeps what could not be collected."""
        if report.failed:
            self.errors.append(CollectionError(report.nodeid, str(report.longrepr)[-TEXT:]))

    @pytest.hookimpl(hookwrapper=True, trylast=True)
    def pytest_runtestloop(self, session: Any) -> Iterator[None]:
        """Reports the benchmarks, and runs those that the coordinator orders, in its order.

        Nothing that sorts, drops or repeats tests comes after this. Other loops, pytest's own among
        them, find nothing to run; but what a suite prepares in one is prepared, and what it wraps
        around the tests is around them.
        """
        items = list(session.items)
        session.items[:] = []
        outcome = yield
        if outcome.excinfo is not None:  # type: ignore[attr-defined]  # pluggy sends its result
            return
        benchmarks, repeated = benchmarks_among(items)
        collected = [
            CollectedBenchmark(name, os.path.relpath(item.path, self.home), source_digest(item))
            for name, item in benchmarks.items()
        ]
        self.link.send(Collection(collected, [*self.errors, *repeated]))
        # Until the coordinator orders some, it can time the worker's own function.
        order = serve(self.link, spin, lambda: int)
        if not isinstance(order, Order):
            raise TypeError(f"an order of benchmarks was expected, not {order}")
        self.order = order
        session.items[:] = [benchmarks[name] for name in order.benchmarks]
        for item, following in itertools.zip_longest(session.items, session.items[1:]):
            self._run(item, following)

    def _run(self, item: Any, following: Any) -> None:
        """Runs one benchmark; nothing that happens in it keeps the following ones from running.

        Rerun plugins run a test again inside of `pytest_runtest_protocol`. If the test changed the
        current folder, it is changed back, so that the next test does not find itself elsewhere.
        """
        name = item.nodeid
        self.link.epoch += 1
        self.link.send(Entered(name))
        self.phases = 0
        keep_going(item.session)
        try:
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self.phases == 0:
                self.link.send(NotPassed("setup", "skipped", PASSED_OVER))
        except BaseException as error:  # noqa: BLE001  # pytest.exit() and hooks that fail
            self.link.keep_to_the_worker()
            text = "".join(traceback.format_exception(error))
            self.link.send(NotPassed("call", "failed", text[-TEXT:]))
            with contextlib.suppress(BaseException):
                item.ihook.pytest_runtest_teardown(item=item, nextitem=following)
        Original.chdir(self.home)
        self.link.send(Finished(name))

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Reports a phase that did not pass.

        Plugins have outcomes of their own for an attempt after which they run the test again.
        """
        self.link.keep_to_the_worker()
        self.phases += 1
        if report.outcome == "passed":
            return
        outcome: Literal["failed", "skipped", "rerun"] = "rerun"
        if report.outcome in ("failed", "skipped"):
            outcome = report.outcome
        phase: Literal["setup", "call", "teardown"] = "call"
        if report.when in ("setup", "teardown"):
            phase = report.when
        self.link.send(NotPassed(phase, outcome, reason(report)))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: Any) -> None:
        """Reports what was imported, and from which files code was loaded, if that was ordered.

        Nobody reads the summary of a worker, and plugins import much only to write it.
        """
        summary = session.config.hook.pytest_terminal_summary
        for implementation in summary.get_hookimpls():
            summary._remove_plugin(implementation.plugin)
        if self.order.imports:
            self.link.send(Imported(*imported_modules(self.environment, self.order.others)))
        if self.order.own:
            self.link.send(Loaded(loaded_files(self.order.own, self.order.others)))


def benchmarks_among(items: list[Any]) -> tuple[dict[str, Any], list[CollectionError]]:
    """Returns the benchmarks by name, and the names that several different tests have.

    A test that stands in the list several times is one benchmark.
    """
    benchmarks: dict[str, Any] = {}
    repeated: dict[str, CollectionError] = {}
    for item in items:
        if not (uses_fixture(item) or is_marked(item)):
            continue
        first = benchmarks.setdefault(item.nodeid, item)
        if getattr(item, "function", item) is not getattr(first, "function", first):
            repeated[item.nodeid] = CollectionError(item.nodeid, SAME_NAME)
    for name in repeated:
        del benchmarks[name]
    return benchmarks, list(repeated.values())


def refusal(error: Exception) -> str:
    """Returns why the session cannot measure, and what to do about it."""
    missing = isinstance(error, ModuleNotFoundError) and error.name == "pytest_benchmark"
    return MISSING.format(prefix=sys.prefix, python=sys.executable) if missing else str(error)


def keep_going(session: Any) -> None:
    """Takes back what would stop the session before the next test.

    That is a number of failures, or a wish of a plugin or conftest. Since version 8 of pytest the
    public attributes cannot be taken back.
    """
    for name in ("shouldstop", "shouldfail"):
        private = f"_{name}"
        setattr(session, private if hasattr(session, private) else name, False)


def source_digest(item: Any) -> str:
    """Returns a hash of the test function's source; empty where there is none.

    The coordinator compares the hashes, to know whether both sides run the same benchmark.
    """
    try:
        text = inspect.getsource(item.function)
    except (OSError, TypeError, AttributeError):
        return ""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def reason(report: Any) -> str:
    """Returns the end of the text that says why a test failed or was skipped."""
    text = report.longrepr
    if isinstance(text, tuple):  # of a skipped test: file, line and reason
        text = text[-1]
    return str(text)[-TEXT:]
