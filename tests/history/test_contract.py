"""Tests of every undocumented name of asv's that is used; one that fails means another asv.

The pins in pyproject.toml are exact. Before they move, make this file pass, then read
`docs/history.md`.
"""

from __future__ import annotations

import inspect
import json
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from asv import graph, publishing, step_detect
from asv.benchmarks import Benchmarks
from asv.config import Config
from asv.plugins.regressions import Regressions
from asv.plugins.summarygrid import SummaryGrid
from asv.plugins.summarylist import SummaryList
from asv.results import Results
from asv_runner.benchmarks import benchmark_types
from asv_runner.benchmarks._base import Benchmark, _get_first_attr
from asv_runner.benchmarks.time import TimeBenchmark

import benchmarks
from benchmarks import Sampled
from flopline.history import publish, results

WWW = Path(inspect.getfile(publishing)).parent / "www"


def test_the_versions_are_the_ones_that_were_read() -> None:
    versions = (version("asv"), version("asv_runner"))
    assert versions == ("0.6.6", "0.3.2"), "see this file's first lines"


def test_the_types_of_benchmarks_are_a_list_that_takes_ours() -> None:
    assert isinstance(benchmark_types, list)
    assert [kind.__name__ for kind in benchmark_types].count("Sampled") == 1
    builtins = [kind for kind in benchmark_types if kind.__name__ != "Sampled"]
    assert not [kind for kind in builtins if kind.name_regex.match("sampled_product")]


def test_a_setup_would_reduce_asvs_own_timer_to_one_call_a_sample() -> None:
    assert TimeBenchmark._setup_isolates_timed_calls is True
    assert Sampled._setup_isolates_timed_calls is False


def test_the_timer_of_a_benchmark_is_made_where_ours_is() -> None:
    assert list(inspect.signature(TimeBenchmark._get_timer).parameters) == ["self", "param"]
    assert list(inspect.signature(TimeBenchmark._param_bound_func).parameters) == ["self", "param"]
    assert "self._get_timer(*param)" in inspect.getsource(TimeBenchmark.run)
    assert list(inspect.signature(_get_first_attr).parameters)[:3] == ["sources", "name", "default"]
    assert "self._params" in inspect.getsource(Benchmark.__init__)


SUITE = """
class Toy:
    params = [["a", "b"], [1, 2, 3]]
    param_names = ["strategy", "n"]

    @staticmethod
    def flops(strategy, n):
        return 10 * n + (strategy == "b")

    def setup(self, strategy, n):
        pass

    def sampled_toy(self, strategy, n):
        sum(range(100))
"""


def test_flops_are_exported_in_the_order_of_the_product(tmp_path: Path) -> None:
    suite = tmp_path / "benchmarks"
    suite.mkdir()
    shutil.copy(inspect.getfile(benchmarks), suite)
    (suite / "bench_toy.py").write_text(SUITE)
    program = "import sys; from asv_runner.discovery import _discover; _discover(sys.argv[1:])"
    target = tmp_path / "found.json"
    subprocess.run([sys.executable, "-c", program, suite, target], cwd=tmp_path, check=True)
    (benchmark,) = json.loads(target.read_text())
    assert (benchmark["type"], benchmark["unit"]) == ("time", "seconds")
    assert benchmark["flops_per_call"] == [10, 20, 30, 11, 21, 31]


def test_publishers_run_in_the_order_that_ours_count_on() -> None:
    orders = [
        publish.GflopsSeries.order,
        SummaryGrid.order,
        SummaryList.order,
        Regressions.order,
        publish.GflopsDirection.order,
    ]
    assert orders == sorted(set(orders)), (
        "GFLOPS series come before what draws them, corrections after everything"
    )


def test_graphs_have_the_methods_that_the_plugin_calls() -> None:
    called = [
        (graph.GraphSet, "get_graph"),
        (graph.GraphSet, "get_graph_group"),
        (graph.Graph, "get_data"),
        (graph.Graph, "add_data_point"),
        (graph.Graph, "save"),
        (graph, "make_summary_graph"),
    ]
    for owner, name in called:
        assert callable(getattr(owner, name, None)), f"asv.graph has no {name}"
    assert Config().regressions_first_commits == {}
    assert Config().regressions_thresholds == {}


@pytest.mark.parametrize(
    ("file", "changes"), [("summarylist.js", publish.LIST), ("index.html", publish.NAVIGATION)]
)
def test_the_texts_that_are_replaced_are_in_asvs_pages_once(
    file: str, changes: dict[str, str]
) -> None:
    source = (WWW / file).read_text()
    for text in changes:
        assert source.count(text) == 1, text


def test_steps_and_regressions_are_found_by_the_functions_that_are_called() -> None:
    steps = step_detect.detect_steps([1.0] * 6 + [2.0] * 6, [None] * 12)
    latest, best, jumps = step_detect.detect_regressions(steps, 0.05)
    assert (latest, best, [tuple(jump) for jump in jumps]) == (2.0, 1.0, [(5, 6, 1.0, 2.0)])


def test_results_have_the_version_and_columns_that_are_read() -> None:
    assert Results.api_version == Benchmarks.api_version == results.VERSION
    assert all(f"'{column}'" in inspect.getsource(Results.save) for column in results.COLUMNS)
