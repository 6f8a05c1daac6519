"""Benchmarks that end badly, in the ways that the variable FAULT names.

Only the side whose tree has a file candidate.txt is faulty.
"""

import os
import signal
import threading
import time

import pytest


def fault(kind):
    return kind in os.environ.get("FAULT", "").split() and os.path.exists("candidate.txt")


def test_before(benchmark):
    benchmark(sum, range(1000))


@pytest.mark.parametrize("kind", ["fail", "skip", "raise", "late", "unused"])
def test_mild(benchmark, kind):
    misbehave(benchmark, kind if fault(kind) else "")


def misbehave(benchmark, kind):
    if kind == "fail":
        pytest.fail("failing here only")
    if kind == "skip":
        pytest.skip("skipping here only")
    if kind == "raise":
        benchmark(lambda: {}["missing"])
    if kind == "late":
        calls = []

        def later():
            calls.append(1)
            if len(calls) > 5:
                raise ValueError("the sixth call fails")
            return sum(range(1000))

        benchmark(later)
    if kind != "unused":
        benchmark(sum, range(1000))


def test_fault(benchmark):
    if fault("exit"):
        os._exit(7)
    if fault("forked"):  # the fork holds the worker's pipes open
        if os.fork():
            os._exit(7)
        time.sleep(1000)
    if fault("killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    if fault("hang"):
        time.sleep(1000)
    if fault("threads"):
        threading.Thread(target=time.sleep, args=(1000,), daemon=False).start()
    for kind in ("fail", "skip", "raise", "late", "unused"):
        if fault(kind):
            return misbehave(benchmark, kind)
    benchmark(sum, range(1000))


def test_after(benchmark):
    benchmark(sum, range(1000))
