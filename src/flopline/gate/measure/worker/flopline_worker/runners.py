"""Plugins that decide how tests are run, and not what a test does.

They distribute tests, repeat, sort, select or stop them, measure or report on them. Without them a
suite is still the same suite, so it is timed without what they do.
"""

from __future__ import annotations

import functools
import importlib.metadata
import types
from typing import Any

RUNNERS = frozenset(
    {
        *("xdist", "parallel", "run-parallel", "forked", "isolate", "concurrent"),
        *("rerunfailures", "flaky", "retry", "repeat", "flakefinder", "stress", "loop"),
        *("timeout", "timeouts", "fail-slow", "faulthandler"),
        *("randomly", "random-order", "reverse", "testmon", "picked"),
        *("cov", "codspeed", "speed", "memray", "profiling", "monitor", "leaks", "line-profiler"),
        *("html", "json-report", "jsonreport", "reportlog", "md-report", "csv", "allure-pytest"),
        *("sugar", "rich", "instafail"),
    }
)
"""These plugins, by the names of their distributions without `pytest-`, or by those in pytest."""
MODULES = frozenset({"xdist", "random_order", "flaky", "testmon", "allure_pytest"})
"""The packages of these plugins whose names do not begin with `pytest_`."""
DECLARING = frozenset(
    {
        *("pytest_addoption", "pytest_addhooks", "pytest_plugin_registered"),
        *("pytest_configure", "pytest_unconfigure"),
    }
)
"""Hooks in which a plugin declares its options, ini values, markers and hooks; these stay."""
SEEDING = frozenset(
    {
        *("pytest_sessionstart", "pytest_runtest_setup"),
        *("pytest_runtest_call", "pytest_runtest_teardown"),
    }
)
"""Hooks in which pytest-randomly seeds generators; with them both sides draw the same numbers."""

NEVER_STARTED = frozenset({"pytest_addoption", "pytest_addhooks"})
"""All that pytest-codspeed keeps: it would take the place of pytest-benchmark when it starts."""

SWITCHES = frozenset(
    {
        *("--looponfail", "--loadscope-reorder", "--no-loadscope-reorder", "--forked"),
        *("--no-cov", "--no-cov-on-fail", "--cov-append", "--cov-branch", "--cov-reset"),
        *("--timeout-disable-debugger-detection", "--fail-on-flaky"),
        *("--force-flaky", "--no-flaky-report", "--no-success-flaky-report"),
        *("--randomly-dont-reset-seed", "--randomly-dont-reorganize", "--random-order"),
        *("--codspeed", "--memray", "--hide-memray-summary", "--native", "--profile"),
        *("--profile-svg", "--testmon", "--testmon-noselect", "--testmon-forceselect"),
        *("--self-contained-html", "--json-report", "--json-report-summary"),
        *("--force-sugar", "--old-summary", "--instafail", "--flake-finder"),
    }
)
WITH_VALUE = frozenset(
    {
        *("-n", "--numprocesses", "--maxprocesses", "--dist", "--tx", "--max-worker-restart"),
        *("--maxschedchunk", "--testrunuid", "--workers", "--tests-per-worker"),
        *("--cov-report", "--cov-config", "--cov-fail-under", "--cov-context", "--cov-precision"),
        *("--timeout", "--timeout-method", "--timeout_method", "--session-timeout"),
        *("--reruns", "--reruns-delay", "--only-rerun", "--rerun-except", "--force-reruns"),
        *("--max-suite-reruns", "--retries", "--retry-delay", "--max-runs", "--min-passes"),
        *("--count", "--repeat-scope", "--flake-runs", "--fail-slow"),
        *("--randomly-seed", "--random-order-bucket", "--random-order-seed"),
        *("--codspeed-mode", "--codspeed-warmup-time", "--codspeed-max-time"),
        *("--codspeed-max-rounds", "--memray-bin-path", "--most-allocations"),
        *("--html", "--css", "--json-report-file", "--json-report-indent", "--report-log"),
        *("--csv", "--alluredir", "--pstats-dir"),
    }
)
WITH_OPTIONAL_VALUE = frozenset({"--cov"})
"""Options of these plugins, so that a suite that is always run with them starts without them."""


@functools.cache
def entry_points() -> dict[str, str]:
    """Returns the distribution of each installed plugin by the name that it has in pytest."""
    found = importlib.metadata.entry_points(group="pytest11")
    return {point.name: point.dist.metadata["Name"] for point in found if point.dist is not None}


def package_of(plugin: Any) -> str:
    """Returns the top-level package in which a plugin, a module or any object, is written."""
    if isinstance(plugin, types.ModuleType):
        return plugin.__name__.partition(".")[0]
    return type(plugin).__module__.partition(".")[0]


def runner(plugin: Any, name: str) -> str | None:
    """Returns the name in `RUNNERS` of a plugin; None if it is no such plugin.

    Args:
        plugin: The plugin.
        name: The name that it has in pytest. It tells something only of a plugin that is installed
            or pytest's own, because a suite may call its own plugins as it likes.
    """
    package = package_of(plugin)
    names = {package} if package in MODULES or package.startswith("pytest_") else set()
    if package == "_pytest":
        names.add(name)
    elif name in entry_points():
        names |= {name, entry_points()[name]}
    for candidate in sorted(names):
        plain = candidate.lower().replace("_", "-").removeprefix("pytest-")
        if plain in RUNNERS:
            return plain
    return None


def hooks_to_keep(name: str) -> frozenset[str]:
    """Returns the hooks that the plugin with this name in `RUNNERS` keeps."""
    if name == "codspeed":
        return NEVER_STARTED
    return DECLARING | SEEDING if name == "randomly" else DECLARING
