"""Benchmarks that work, or wait, outside of the thread that calls them."""

import multiprocessing
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest

SLOW = 0.06


def spin(n):
    total = 0
    for i in range(n):
        total += i * i % 7
    return total


def spin_for(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        spin(100)


def cpus_after_a_while():
    spin_for(SLOW)
    return os.sched_getaffinity(0)


def test_own_thread(benchmark):
    benchmark(spin, 1000)


def test_sleep(benchmark):
    benchmark(time.sleep, 0.002)


def test_threads(benchmark):
    with ThreadPoolExecutor(2) as pool:
        benchmark(lambda: list(pool.map(spin, [1000, 1000])))


def test_child(benchmark):
    benchmark(subprocess.run, [sys.executable, "-S", "-E", "-c", "pass"])


def test_setup_in_a_child(benchmark):
    def setup():
        subprocess.run([sys.executable, "-S", "-E", "-c", "pass"])

    benchmark.pedantic(spin, args=(1000,), setup=setup, rounds=2)


@pytest.fixture
def pools():
    made = []
    yield made
    for pool in made:
        pool.shutdown()


def test_pool_of_the_first_call(benchmark, pools):
    cpus = os.sched_getaffinity(0)

    def work():
        if not pools:
            pools.append(ProcessPoolExecutor(1, multiprocessing.get_context("fork")))
        return pools[0].submit(cpus_after_a_while).result()

    assert benchmark(work) == cpus


def test_pool_of_a_limited_first_call(benchmark, pools):
    cpus = os.sched_getaffinity(0)

    def work():
        if not pools:
            pools.append(ProcessPoolExecutor(1, multiprocessing.get_context("fork")))
        return pools[0].submit(cpus_after_a_while).result()

    assert benchmark.pedantic(work, rounds=3) == cpus


def test_first_call_only_is_slow(benchmark):
    called = []

    def work():
        if not called:
            called.append(1)
            spin_for(SLOW)

    benchmark(work)
