"""The forms that benchmarks of asv have, and a type of this suite's own."""

import re

from asv_runner.benchmarks import benchmark_types
from asv_runner.benchmarks.time import TimeBenchmark


class Sampled(TimeBenchmark):
    name_regex = re.compile(r"^sampled_.+$")
    _setup_isolates_timed_calls = False


if "Sampled" not in [kind.__name__ for kind in benchmark_types]:
    benchmark_types.append(Sampled)
