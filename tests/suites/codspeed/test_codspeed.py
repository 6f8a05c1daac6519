"""Everything that a suite for pytest-codspeed can do and one for pytest-benchmark cannot."""

import sys
import unittest

import pytest

if "--codspeed" not in sys.argv:
    pytest.skip("run with --codspeed", allow_module_level=True)


@pytest.fixture
def numbers():
    return list(range(100))


@pytest.mark.benchmark
def test_marked():
    sum(range(100))


@pytest.mark.codspeed_benchmark
def test_codspeed_mark(numbers):
    assert sum(numbers) == 4950


@pytest.mark.benchmark(group="sums", min_time=1, max_time=2, max_rounds=10)
@pytest.mark.parametrize("n", [10, pytest.param(20, marks=pytest.mark.codspeed_benchmark())])
def test_stacked_marks(n):
    assert len(range(n)) == n


@pytest.mark.benchmark
class TestMarkedClass:
    def test_method(self, numbers):
        sum(numbers)


class TestOfUnittest(unittest.TestCase):
    def setUp(self):
        assert not hasattr(self, "numbers"), "it was set up again"
        self.numbers = range(100)

    @pytest.mark.benchmark
    def test_method(self):
        sum(self.numbers)


@pytest.mark.parametrize("n", [1, pytest.param(2, marks=pytest.mark.benchmark)])
def test_marked_parameter(n):
    assert n == 2, "not a benchmark: must not be run"


@pytest.mark.benchmark(max_rounds=10, group="sums")
def test_mark_and_fixture(benchmark):
    assert benchmark(sum, [1, 2]) == 3
    assert benchmark.group == "sums"


@pytest.mark.codspeed_benchmark(group="theirs")
@pytest.mark.benchmark(group="ours", disable_gc=True)
def test_both_marks(benchmark):
    benchmark(sum, [1, 2])
    assert benchmark.group == "theirs"
    assert benchmark.stats.as_dict()["options"]["disable_gc"]


def test_codspeed_fixture(codspeed_benchmark):
    assert codspeed_benchmark(sum, [1, 2]) == 3


def test_codspeed_fixture_by_name(request):
    assert request.getfixturevalue("codspeed_benchmark")(sum, [1, 2]) == 3


def test_setup_with_arguments(codspeed_benchmark):
    def setup(values, *, last):
        values[:] = [1, 2, last]

    def sort(values, *, last):
        values.sort(reverse=True)
        return values

    parameters = {"args": ([],), "kwargs": {"last": 3}, "setup": setup, "rounds": 5}
    assert codspeed_benchmark.pedantic(sort, **parameters) == [3, 2, 1]


@pytest.mark.benchmark
def test_only_once(tmp_path):
    (tmp_path / "folder").mkdir()


@pytest.mark.benchmark(disable_gc=True)
def test_mark_of_pytest_benchmark_alone():
    raise AssertionError("not a benchmark: must not be run")


def test_without_a_mark():
    raise AssertionError("not a benchmark: must not be run")
