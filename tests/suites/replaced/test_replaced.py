"""Benchmarks around which functions are replaced that a worker needs.

Libraries that freeze the clock or pretend a file system replace a function, or a whole module, in
every module that has it among its names; the first two fixtures do the same.
"""

import gc
import importlib
import json
import os
import resource
import sys
import time
import types

import pytest

CLOCKS = ("time", "perf_counter", "monotonic", "process_time", "thread_time")
FILES = ("read", "write", "close", "chdir", "listdir", "stat", "_exit", "sched_setaffinity")


def work():
    return sum(range(100))


def fail(*_arguments, **_named):
    raise OSError("replaced")


def replace_everywhere(patch, replacements):
    """Replaces objects, by their identity, in all modules that are loaded."""
    for module in list(sys.modules.values()):
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if id(value) in replacements:
                patch.setattr(module, name, replacements[id(value)])


@pytest.fixture
def frozen(monkeypatch):
    """Clocks that stand still."""
    replacements = {}
    for name in CLOCKS:
        replacements[id(getattr(time, name))] = lambda: 1e9
        replacements[id(getattr(time, f"{name}_ns"))] = lambda: 10**18
    replace_everywhere(monkeypatch, replacements)


def pretended(module, names):
    """A copy of a module in which some functions fail."""
    copy = types.ModuleType(module.__name__)
    vars(copy).update(vars(module))
    vars(copy).update(dict.fromkeys(names, fail))
    return copy


@pytest.fixture(scope="module")
def other_files():
    """Another `os` in every module of the worker, until the end of this file."""
    with pytest.MonkeyPatch.context() as patch:
        copy = pretended(os, FILES)
        for name, module in list(sys.modules.items()):
            if name.startswith("flopline_worker") and hasattr(module, "os"):
                patch.setattr(module, "os", copy)
        yield


def test_frozen(benchmark, frozen):
    benchmark(work)


def test_frozen_rounds(benchmark, frozen):
    benchmark.pedantic(work, setup=lambda: None, rounds=20)


def test_own_timer_stands_still(benchmark):
    benchmark._timer = lambda: 0.0
    benchmark(work)


def test_files(benchmark, other_files):
    benchmark(work)


def test_file_functions(benchmark, monkeypatch):
    for name in ("read", "write", "_exit", "listdir", "sched_setaffinity"):
        monkeypatch.setattr(os, name, fail)
    benchmark(work)


def test_json(benchmark, monkeypatch):
    for owner, name in ((json, "dumps"), (json, "loads"), (json.JSONEncoder, "encode")):
        monkeypatch.setattr(owner, name, fail)
    monkeypatch.setattr(json.JSONDecoder, "decode", fail)
    benchmark(work)


def test_counters(benchmark, monkeypatch):
    monkeypatch.setattr(resource, "getrusage", fail)
    for name in ("collect", "freeze", "isenabled", "disable"):
        monkeypatch.setattr(gc, name, fail)
    monkeypatch.setattr(sys, "setprofile", fail)
    benchmark._make_runner = lambda function, *_: (
        lambda rounds: (0.0, function()) if rounds is None else 0.0
    )
    benchmark(work)


def test_reloaded(benchmark):
    for name in list(sys.modules):
        if name.startswith(("flopline_worker", "json")):
            del sys.modules[name]
    importlib.reload(os)
    benchmark(work)


def test_left_behind(benchmark, tmp_path):
    json.dumps = json.loads = os.chdir = time.perf_counter = fail
    os.environ.clear()
    benchmark(work)


def test_plain(benchmark):
    benchmark(work)
