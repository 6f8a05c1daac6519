"""Benchmarks that write when they are called, and what the process then sees.

They write into files that the environment names.
"""

import json
import os
import time


def test_turns(benchmark):
    log = os.open(os.environ["TURNS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    letter = os.environ["LETTER"].encode()
    benchmark.pedantic(os.write, args=(log, letter), rounds=50)
    os.close(log)


def look(benchmark, name, seconds):
    """Writes what the process sees in the last call, and its CPUs in one that was timed."""
    cpus = []

    def seen():
        if seconds:
            time.sleep(seconds)
        cpus.append(sorted(os.sched_getaffinity(0)))
        return {
            "slot": os.environ["FLOPLINE_SLOT"],
            "seed": os.environ["PYTHONHASHSEED"],
            "padding": len(os.environ["FLOPLINE_PADDING"]),
            "threads": os.environ["OMP_NUM_THREADS"],
        }

    facts = benchmark(seen)
    with open(os.environ["SEEN"] + name, "w") as file:
        json.dump({**facts, "timed": cpus[len(cpus) // 2]}, file)


def test_awake(benchmark):
    look(benchmark, "awake", 0)


def test_asleep(benchmark):
    look(benchmark, "asleep", 0.002)
