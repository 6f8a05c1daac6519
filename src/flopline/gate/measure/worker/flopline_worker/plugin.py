"""The pytest plugin: it reports what happens, and waits where the coordinator must decide."""

from __future__ import annotations

import hashlib
import inspect
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from .meter import spin
from .modules import loaded_files
from .protocol import (
    CollectedBenchmark,
    Collection,
    CollectionError,
    Conflict,
    Entered,
    Finished,
    Loaded,
    NotPassed,
    Order,
)
from .turns import serve

if TYPE_CHECKING:
    from .link import Link

TEXT = 4000
"""Characters of an error's text that are reported, counted from its end."""


class LockstepPlugin:
    """The pytest plugin of one worker.

    Attributes:
        refusal: Why the session cannot measure; empty where it can.
    """

    __name__ = "flopline-lockstep"
    """The name under which pytest registers the plugin, so that a suite can ask who times it."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.home = Path.cwd()
        self.errors: list[CollectionError] = []
        self.refusal = ""
        self.order = Order([])

    def pytest_configure(self, config: Any) -> None:
        """Patches pytest-benchmark, and reports options under which nothing can be timed.

        Not earlier, because up to version 8 pytest warns of a plugin that was imported before it
        could rewrite its asserts, and suites turn warnings into errors.
        """
        try:
            from .patch import patch

            patch(self.link)
        except (ImportError, RuntimeError) as error:
            self.refusal = str(error)
            pytest.exit(self.refusal, returncode=pytest.ExitCode.USAGE_ERROR)
        for option in conflicts(config):
            self.link.send(Conflict(option))

    def pytest_collectreport(self, report: Any) -> None:
        """Keeps what could not be collected."""
        if report.failed:
            self.errors.append(CollectionError(report.nodeid, str(report.longrepr)[-TEXT:]))

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: Any, items: list[Any]) -> None:
        """Reports the benchmarks, and keeps those that the coordinator orders, in its order.

        Until it orders some, the coordinator can time the worker's own function.
        """
        benchmarks: dict[str, Any] = {}
        for item in items:
            if "benchmark" in getattr(item, "fixturenames", ()):
                benchmarks[item.nodeid] = item
        collected = [
            CollectedBenchmark(name, os.path.relpath(item.path, self.home), source_digest(item))
            for name, item in benchmarks.items()
        ]
        self.link.send(Collection(collected, self.errors))
        order = serve(self.link, spin, lambda: int)
        if not isinstance(order, Order):
            raise TypeError(f"an order of benchmarks was expected, not {order}")
        self.order = order
        ordered = set(order.benchmarks)
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in ordered])
        items[:] = [benchmarks[name] for name in order.benchmarks]

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Reports that a benchmark begins."""
        self.link.epoch += 1
        self.link.send(Entered(nodeid))

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Reports a phase that did not pass.

        Plugins have outcomes of their own, for example a rerun; these count as failures.
        """
        if report.outcome != "passed":
            outcome: Literal["failed", "skipped"] = "failed"
            if report.outcome == "skipped":
                outcome = "skipped"
            self.link.send(NotPassed(report.when, outcome, reason(report)))

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Reports that a benchmark is over.

        If its test changed the current folder, it is changed back, so that the next test does not
        find itself elsewhere.
        """
        os.chdir(self.home)
        self.link.send(Finished(nodeid))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Reports from which files code was loaded, if that was ordered."""
        if self.order.own:
            self.link.send(Loaded(loaded_files(self.order.own, self.order.others)))


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


def conflicts(config: Any) -> list[str]:
    """Returns the options that are set and under which pytest-benchmark does not time."""
    option = config.option
    active = []
    if getattr(option, "numprocesses", None) or getattr(option, "dist", "no") != "no":
        active.append("xdist")
    if getattr(option, "benchmark_skip", False):
        active.append("--benchmark-skip")
    return active
