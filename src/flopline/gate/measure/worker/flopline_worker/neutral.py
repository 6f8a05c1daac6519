"""A plugin that takes away what other plugins and options would do to the timed tests.

The other plugins stay loaded, so that their options, ini values, markers, fixtures and hooks exist;
what would change, repeat, sort, stop or measure the tests has no effect.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .originals import Original
from .runners import (
    SWITCHES,
    WITH_OPTIONAL_VALUE,
    WITH_VALUE,
    hooks_to_keep,
    package_of,
    runner,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

SEED = 1
"""The seed for pytest-randomly on both sides, unless the suite has its own."""
STOPPING = frozenset(
    {
        *("lf", "failedfirst", "newfirst", "last_failed_no_failures", "cacheshow", "cacheclear"),
        *("stepwise", "stepwise_skip", "stepwise_reset", "maxfail"),
        *("collectonly", "setuponly", "setupplan", "setupshow", "usepdb", "trace"),
    }
)
"""Options of pytest itself with which tests are left out, sorted, stopped or not run at all."""
WRITING = frozenset({"xmlpath", "pastebin", "debug"})
"""Options of pytest itself with which it writes files, or sends them somewhere."""
OF_PYTEST_BENCHMARK = frozenset(
    {
        *("benchmark_disable", "benchmark_skip", "benchmark_only", "benchmark_storage"),
        *("benchmark_save", "benchmark_autosave", "benchmark_save_data", "benchmark_json"),
        *("benchmark_compare", "benchmark_compare_fail", "benchmark_histogram"),
        *("benchmark_cprofile", "benchmark_cprofile_dump"),
    }
)
"""Options with which pytest-benchmark does not time, reads or writes files, or fails tests."""


class NeutralPlugin:
    """Neutralises plugins when they are registered, and options before they are looked at.

    Attributes:
        options: Names of options that get their defaults.
        known: Names of all options that were declared so far.
        packages: The packages of the plugins that are neutralised, each with the hooks that its
            plugins keep.
    """

    __name__ = "flopline-neutral"

    def __init__(self) -> None:
        self.options = set(STOPPING | WRITING | OF_PYTEST_BENCHMARK)
        self.known: set[str] = set()
        self.packages: dict[str, frozenset[str]] = {}
        self.surroundings = Surroundings()
        self.parser: Any = None

    def pytest_addoption(self, parser: Any) -> None:
        """Notes which options are those of pytest itself."""
        self.parser = parser
        self.known = set(declared(parser))

    def pytest_plugin_registered(self, plugin: Any, manager: Any) -> None:
        """Takes the hooks of a plugin that would disturb, directly after it was registered.

        A hook that nobody declares is one of a plugin that is not installed; that is no reason
        not to start, because nobody calls it.
        """
        name = manager.get_name(plugin) or ""
        package = package_of(plugin)
        kind = runner(plugin, name)
        if kind is not None and package != "_pytest":
            self.packages[package] = hooks_to_keep(kind)
        kept = self.packages.get(package)
        if kind is not None:
            kept = hooks_to_keep(kind)
        now = declared(self.parser)
        if kept is not None:
            self.options |= {now[option] for option in now.keys() - self.known}
        self.known |= now.keys()
        leave_files_closed(self.parser, self.options)
        for hook in manager.get_hookcallers(plugin) or ():
            if kept is not None and hook.name not in kept:
                hook._remove_plugin(plugin)
            elif not hook.has_spec():
                for implementation in hook.get_hookimpls():
                    implementation.optionalhook = True

    @pytest.hookimpl(hookwrapper=True)
    def pytest_load_initial_conftests(
        self, early_config: Any, parser: Any, args: Sequence[str]
    ) -> Iterator[None]:
        """Completes the options when all plugins and conftests are loaded.

        pytest-benchmark is loaded even if the suite switches it off, as some do in `addopts` for
        their ordinary runs. Options of plugins that are not there are declared in their place.
        """
        yield
        manager = early_config.pluginmanager
        names = {getattr(plugin, "__name__", "") for plugin in manager.get_plugins()}
        if "pytest_benchmark.plugin" not in names and importlib.util.find_spec("pytest_benchmark"):
            manager.import_plugin("pytest_benchmark.plugin")
        self.options |= declare_missing(parser, args)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_cmdline_main(self, config: Any) -> Iterator[None]:
        """Sets the options before any plugin acts on them."""
        folder = Path(tempfile.gettempdir())
        config._inicache["cache_dir"] = str(folder / "pytest-cache")
        if hasattr(config.option, "basetemp"):
            config.option.basetemp = str(folder / "pytest")
        self.set_options(config.option)
        yield

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: Any) -> None:
        """Sets the options again, which plugins and conftests may have changed meanwhile."""
        self.set_options(config.option)

    def set_options(self, option: Any) -> None:
        """Gives the options that have an effect here the values with which they have none."""
        seed = getattr(option, "randomly_seed", SEED)
        defaults = self.parser.parse_known_args([])
        for name in self.options:
            # Suites ask whether they are run by pytest-codspeed, which itself is never started.
            if name.startswith("codspeed"):
                continue
            if hasattr(option, name) and hasattr(defaults, name):
                setattr(option, name, getattr(defaults, name))
        wanted = {
            "benchmark_enable": True,
            "continue_on_collection_errors": True,
            "log_file": os.devnull,
            "randomly_seed": seed if isinstance(seed, int) else SEED,
            "randomly_reorganize": False,
        }
        for name, value in wanted.items():
            if hasattr(option, name):
                setattr(option, name, value)

    def pytest_runtest_logfinish(self) -> None:
        """Restores what a test may have changed and the next one, or the worker, relies on."""
        self.surroundings.restore()


class Surroundings:
    """What a test finds around it: the folder it is in, and the state of the interpreter."""

    def __init__(self) -> None:
        self.folder = str(Path.cwd())
        self.collecting = Original.is_collecting()
        self.switch_interval = Original.getswitchinterval()

    def restore(self) -> None:
        """Puts back what differs from what it was at the beginning."""
        Original.chdir(self.folder)
        Original.setswitchinterval(self.switch_interval)
        if self.collecting:
            Original.enable_collector()


def declared(parser: Any) -> dict[str, str]:
    """Returns the attribute of every option that has been declared, by the option's names."""
    attributes: dict[str, str] = {}
    for group in (parser._anonymous, *parser._groups):
        for option in group.options:
            attributes |= dict.fromkeys(option.names(), option.dest)
    return attributes


def leave_files_closed(parser: Any, options: Collection[str]) -> None:
    """Makes those of these options that would open a file while they are parsed keep its name.

    `--benchmark-json` empties its file in this way, up to version 5.0 of pytest-benchmark.
    """
    for group in (parser._anonymous, *parser._groups):
        for option in group.options:
            attributes = option.attrs()
            opens = isinstance(attributes.get("type"), argparse.FileType)
            if opens and option.dest in options:
                attributes["type"] = str


def declare_missing(parser: Any, arguments: Sequence[str]) -> set[str]:
    """Declares options of plugins that are not there and that the arguments contain.

    Returns:
        The attributes of the options.
    """
    known = declared(parser)
    group = parser.getgroup("plugins that are not installed")
    added = set()
    for argument in arguments:
        name = argument.partition("=")[0]
        if argument.startswith("-n"):
            name = "-n"
        if name in known:
            continue
        if name in SWITCHES:
            group._addoption(name, action="store_true")
        elif name in WITH_VALUE:
            names = ("-n", "--numprocesses") if name == "-n" else (name,)
            group._addoption(*names, action="store")
        elif name in WITH_OPTIONAL_VALUE:
            group._addoption(name, action="append", nargs="?", const=True, default=[])
        elif name.startswith("--codspeed-"):
            group._addoption(name, action="store" if "=" in argument else "store_true")
        known = declared(parser)
        if name in known:
            added.add(known[name])
    return added
