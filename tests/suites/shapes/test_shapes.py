"""Everything that a pytest-benchmark suite can do.

Each test also asserts what it would assert without the gate.
"""

import inspect
import os
import time

import pytest
import subject


def test_plain(benchmark):
    assert benchmark(subject.work, 1000) == 499500


def test_keywords(benchmark):
    assert benchmark(subject.work, n=10) == 45


def test_method_and_statistics(benchmark):
    benchmark.group = "mine"
    benchmark(subject.work)
    assert benchmark.stats.stats.mean > 0
    assert benchmark.stats["median"] > 0


@pytest.mark.benchmark(group="marked", disable_gc=True, min_rounds=2, warmup=True)
def test_marker(benchmark):
    benchmark.extra_info["answer"] = 42
    benchmark(subject.work)
    assert benchmark.group == "marked"


def test_fixture_around_it(renamed):
    renamed(subject.work)


@pytest.mark.parametrize("n", [10, 100], ids=["ten of them", "hündert/[x|y]"])
def test_parameters(benchmark, n):
    benchmark(subject.work, n)


class TestInAClass:
    @pytest.mark.parametrize("n", [10])
    def test_method(self, benchmark, n):
        assert benchmark(subject.work, n) == 45


def test_session_fixture(benchmark, table):
    assert benchmark(sum, table) == 499500


def test_pedantic_promise(benchmark):
    calls = []
    benchmark.pedantic(calls.append, args=(1,), rounds=3)
    assert 1 <= len(calls) <= 3


def test_pedantic_once(benchmark):
    calls = []
    assert benchmark.pedantic(lambda: calls.append(1) or len(calls)) == 1
    assert calls == [1]


def test_pedantic_warmup(benchmark):
    calls = []
    benchmark.pedantic(calls.append, args=(1,), rounds=20, warmup_rounds=2)
    assert len(calls) <= 22


def test_pedantic_setup(benchmark):
    fresh, undone = [], []

    def setup():
        fresh.append(1)
        return ([3, 1, 2],), {}

    def sort(values):
        assert values == [3, 1, 2], "setup was not called before this call"
        values.sort()
        return values

    parameters = {"setup": setup, "rounds": 5}
    has_teardown = "teardown" in inspect.signature(benchmark.pedantic).parameters
    if has_teardown:  # from pytest-benchmark 5.2 on
        parameters["teardown"] = undone.append
    assert benchmark.pedantic(sort, **parameters) == [1, 2, 3]
    assert len(fresh) >= 2
    assert len(undone) == (len(fresh) if has_teardown else 0)


def test_pedantic_iterations(benchmark):
    assert benchmark.pedantic(subject.work, args=(10,), rounds=50, iterations=20) == 45


def test_pedantic_teardown(benchmark):
    if "teardown" not in inspect.signature(benchmark.pedantic).parameters:
        benchmark(subject.work)  # pytest-benchmark has it from 5.2 on
        return
    calls, undone = [], []
    benchmark.pedantic(
        calls.append, args=(1,), teardown=undone.append, rounds=10, warmup_rounds=1, iterations=3
    )
    # One more call than was promised, because a round of several calls does not keep its result.
    assert 1 <= len(calls) <= (10 + 1) * 3 + 1
    assert 1 <= len(undone) <= 10 + 1 + 1


@pytest.mark.benchmark(timer=time.process_time)
def test_own_timer(benchmark):
    benchmark(subject.work)


def test_sleeps(benchmark):
    benchmark(time.sleep, 0.002)


def test_prints(benchmark, capfd):
    def loud():
        os.write(1, b"to the descriptor\n")
        print("to the stream")

    benchmark.pedantic(loud, rounds=4)


def test_changes_the_folder(benchmark, tmp_path):
    os.chdir(tmp_path)
    benchmark(subject.work)


def test_finds_its_folder_again(benchmark):
    assert os.path.exists("tests") or os.path.exists("test_shapes.py")
    benchmark(subject.work)


def test_enabled(benchmark):
    assert benchmark.enabled
    benchmark(subject.work)


def test_weave(benchmark):
    pytest.importorskip("aspectlib")
    benchmark.weave(subject.work, lazy=True)
    subject.work()


@pytest.mark.skip(reason="on both sides")
def test_skipped(benchmark):
    benchmark(subject.work)


def test_fails_on_both(benchmark):
    benchmark(subject.work)
    raise AssertionError("after timing")


def test_raises_on_both(benchmark):
    benchmark(lambda: 1 / 0)


def test_unused(benchmark):
    pass


def test_without_a_benchmark():
    raise AssertionError("not a benchmark: must not be run")
