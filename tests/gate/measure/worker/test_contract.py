"""Tests of every undocumented name of asv_runner that the worker uses.

One that fails means another asv_runner: make this file pass, then look at what its new version does
around a timed call.
"""

from __future__ import annotations

import inspect
from typing import ClassVar

import pytest

pytest.importorskip("asv_runner", reason="asv suites need asv_runner")

from asv_runner import _aux, discovery
from asv_runner.benchmarks import benchmark_types
from asv_runner.benchmarks.mark import SkipNotImplemented
from asv_runner.benchmarks.time import TimeBenchmark, wall_timer
from asv_runner.benchmarks.timeraw import TimerawBenchmark


class Subject:
    params: ClassVar = [["a", "b"], [1, 2]]

    def setup(self, name: str, n: int) -> None:
        self.given = (name, n)

    def time_it(self, name: str, n: int) -> None:
        assert self.given == (name, n)


@pytest.fixture
def toy() -> TimeBenchmark:
    instance = Subject()
    return TimeBenchmark("time_it", instance.time_it, [instance.time_it, instance, inspect])


def test_discovery_takes_the_folder_of_a_suite() -> None:
    assert list(inspect.signature(_aux.update_sys_path).parameters) == ["root"]
    parameters = inspect.signature(discovery.disc_benchmarks).parameters
    assert list(parameters) == ["root", "ignore_import_errors"]


def test_a_benchmark_is_made_of_a_name_a_function_and_its_sources() -> None:
    for kind in benchmark_types:
        parameters = list(inspect.signature(kind.__init__).parameters)
        assert parameters == ["self", "name", "func", "attr_sources"]


def test_the_types_that_are_told_apart_are_those_of_asv_runner() -> None:
    assert {TimeBenchmark, TimerawBenchmark} <= set(benchmark_types)
    assert TimerawBenchmark.run is TimeBenchmark.run
    assert issubclass(SkipNotImplemented, NotImplementedError)


def test_a_setup_runs_before_every_call_unless_a_type_says_no() -> None:
    assert TimeBenchmark._setup_isolates_timed_calls is True
    assert "self._setups and self._setup_isolates_timed_calls" in inspect.getsource(
        TimeBenchmark.run
    )


def test_a_benchmark_has_what_the_worker_reads(toy: TimeBenchmark) -> None:
    assert isinstance(toy._attr_sources[1], Subject)
    assert [setup.__func__ for setup in toy._setups] == [Subject.setup]
    assert toy.params == [["'a'", "'b'"], ["1", "2"]]
    assert (toy.setup_cache_key, toy.setup_cache_timeout) == (None, None)
    assert (toy.timeout, toy.number, toy.repeat) == (None, 0, 0)
    assert toy.warmup_time == -1
    assert toy.timer is wall_timer
    assert "def time_it" in toy.code


def test_parameters_are_set_by_the_number_of_their_combination(toy: TimeBenchmark) -> None:
    toy.set_param_idx(2)
    toy.set_cache(None)
    assert toy._build_params() == ("b", 1)
    assert toy.do_setup() is False
    toy._param_bound_func(*toy._build_params())()
    toy.do_teardown()


def test_a_setup_is_done_again_from_the_second_time_on(toy: TimeBenchmark) -> None:
    toy.set_param_idx(0)
    toy.do_setup()
    subject = toy._attr_sources[1]
    del subject.given
    toy.redo_setup()
    assert not hasattr(subject, "given")
    toy.redo_setup()
    assert subject.given == ("a", 1)
