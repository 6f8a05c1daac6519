"""Benchmarks of every form; each of them checks that it is run as asv runs it."""

import os
import time

from asv_runner.benchmarks.mark import SkipNotImplemented
from subject import work


def time_function():
    work()


class Plain:
    def time_method(self):
        work()

    def track_size(self):
        return 1

    def mem_list(self):
        return [1]

    def peakmem_list(self):
        return [1]

    def timeraw_import(self):
        return "import json"


class Parameters:
    params = [["a", "b"], [16, 32]]
    param_names = ["name", "n"]

    def setup(self, name, n):
        assert not hasattr(self, "numbers"), "another benchmark has used the object"
        if (name, n) == ("b", 32):
            raise NotImplementedError
        self.numbers = list(range(1000 * n))

    def teardown(self, name, n):
        if (name, n) != ("b", 32):
            del self.numbers

    def time_values(self, name, n):
        work()


class Once:
    """A call empties what the setup has filled, so that no second call may follow it."""

    number = 1

    def setup(self):
        self.numbers = list(range(100, 0, -1))

    def time_isolated(self):
        assert self.numbers[0] == 100
        self.numbers.sort()
        work()


class Kept:
    """A type of the suite's own runs its setup once."""

    setups = 0

    def setup(self):
        type(self).setups += 1

    def sampled_kept(self):
        assert self.setups == 1
        work()


class Cached:
    def setup_cache(self):
        with open("cache.txt", "a") as file:
            file.write("once\n")
        return {"numbers": [1, 2, 3]}

    def time_first(self, cache):
        cache["numbers"].append(4)
        work()

    def time_second(self, cache):
        assert cache["numbers"] == [1, 2, 3]
        work()

    def time_third(self, cache):
        with open("cache.txt") as file:
            assert file.read() == "once\n"


class Few:
    """As many calls as the author asks for, and no warm-up."""

    number, repeat, warmup_time = 2, 2, 0
    calls = 0

    def time_few(self):
        Few.calls += 1
        assert Few.calls <= 4
        work()


class Own:
    calls = 0

    @staticmethod
    def timer():
        return 2 * time.perf_counter()

    def time_own_timer(self):
        work()


def time_folder():
    assert os.listdir(".") == []


# What is lost


def time_raises():
    raise ValueError("every call fails")


def time_skipped():
    raise SkipNotImplemented("not today")


class Slow:
    timeout = 0.05

    def time_slow(self):
        while True:
            time.sleep(0.01)


class Exits:
    def time_exits(self):
        os._exit(5)
