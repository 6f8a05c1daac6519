"""A suite of asv for a package `toy`, whose functions do the work."""

import toy

from benchmarks import cases


class Toy:
    """Functions that return."""

    params = [["counted", "absent", "wrong"], [50, 100]]
    param_names = ["strategy", "n"]
    version = "1"
    rounds, repeat = cases.ROUNDS, cases.REPEAT
    warmup_time, sample_time = 0, 0.001

    @staticmethod
    def flops(strategy, n):
        return n

    def setup(self, strategy, n):
        if not hasattr(toy, strategy):
            raise NotImplementedError
        self.work = getattr(toy, strategy)

    def sampled_toy(self, strategy, n):
        self.work(n)


class Endless(Toy):
    """A function that never returns. Only here the time is limited, or a busy machine would fail the others."""

    params = [["endless"], [50]]
    timeout = 0.5
