"""The suite: what is measured, for pytest-benchmark and for asv.

asv imports this package before it looks for benchmarks, in every process. This is therefore where
it learns the type of benchmark that the files `bench_*.py` hold. Without asv_runner the package is
only the list of cases.
"""

from __future__ import annotations

import gc
import itertools
import re
from typing import TYPE_CHECKING

try:
    from asv_runner.benchmarks import benchmark_types
    from asv_runner.benchmarks._base import _get_first_attr
    from asv_runner.benchmarks.time import TimeBenchmark
except ImportError:
    benchmark_types = None

if TYPE_CHECKING:
    from collections.abc import Callable


class AsvTimer:
    """Times calls together, as `timeit.Timer` does: two clock readings, no garbage collection.

    Args:
        run: What to time.
        clock: Gives seconds; on a device it waits until the device is idle.
    """

    def __init__(self, run: Callable[[], object], clock: Callable[[], float]) -> None:
        self._run = run
        self._clock = clock

    def timeit(self, number: int) -> float:
        """Returns the seconds of `number` calls together."""
        run = self._run
        collecting = gc.isenabled()
        gc.disable()
        try:
            start = self._clock()
            for _ in range(number):
                run()
            return self._clock() - start
        finally:
            if collecting:
                gc.enable()


if benchmark_types is not None:

    class Sampled(TimeBenchmark):  # type: ignore[misc]  # asv_runner ships no types
        """A method `sampled_*`: its seconds, from batches of calls after one setup, and its flops.

        To asv it is a benchmark of type "time", so that "lower is better" holds wherever asv
        compares. Unlike in asv's own type, a setup does not reduce every sample to one call. What
        the class's `flops` gives for every combination of parameters is exported to benchmarks.json
        as `flops_per_call`, in the order of `itertools.product`.
        """

        name_regex = re.compile(r"^sampled_.+$")
        _setup_isolates_timed_calls = False

        def __init__(
            self, name: str, func: Callable[..., object], attr_sources: list[object]
        ) -> None:
            super().__init__(name, func, attr_sources)
            flops = _get_first_attr(attr_sources, "flops", None)
            if flops is not None:
                self.flops_per_call = [flops(*point) for point in itertools.product(*self._params)]

        def _get_timer(self, *param: object) -> AsvTimer:
            return AsvTimer(self._param_bound_func(*param), self.timer)

    # asv may import this package more than once in a process.
    known = [kind.__name__ for kind in benchmark_types]
    if Sampled.__name__ not in known:
        benchmark_types.append(Sampled)
