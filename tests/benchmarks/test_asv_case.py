"""The suite as asv runs it: discovery, the type of benchmark, and how a case is measured."""

from __future__ import annotations

import gc
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import AsvTimer, asv_case, bench_matmul, bench_sgd, cases
from benchmarks.asv_case import AsvBenchmark
from flopline import data, matmul, sgd
from flopline.workload import Case, WrongAnswerError

ROOT = Path(__file__).parents[2]

pytest.importorskip("asv_runner", reason="the extra `history` is not installed")


@pytest.fixture(scope="module")
def discovered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What asv_runner discovers, by name, in a process of its own as asv starts it."""
    target = tmp_path_factory.mktemp("discovered") / "benchmarks.json"
    program = "import sys; from asv_runner.discovery import _discover; _discover(sys.argv[1:])"
    arguments = [str(ROOT / "benchmarks"), str(target)]
    subprocess.run([sys.executable, "-c", program, *arguments], check=True, cwd=target.parent)
    return {benchmark["name"]: benchmark for benchmark in json.loads(target.read_text())}


def test_asv_discovers_exactly_these_benchmarks(discovered: dict[str, dict[str, Any]]) -> None:
    names = {name: benchmark["param_names"] for name, benchmark in discovered.items()}
    assert names == {
        "bench_matmul.Whole.sampled_product": ["strategy", "n"],
        "bench_matmul.Blocked.sampled_product": ["strategy", "n", "block"],
        "bench_sgd.Sgd.sampled_epoch": ["strategy", "batch"],
    }


def test_asv_takes_them_for_times_in_seconds_with_our_version(
    discovered: dict[str, dict[str, Any]],
) -> None:
    for benchmark in discovered.values():
        assert (benchmark["type"], benchmark["unit"]) == ("time", "seconds")
        assert benchmark["version"] == AsvBenchmark.version
        assert benchmark["rounds"] * benchmark["repeat"] >= 8


def case_name(benchmark: type[AsvBenchmark], point: tuple[str | int, ...]) -> str:
    """The name of the case that a combination of parameters stands for."""
    axes = [f"{key}={value}" for key, value in zip(benchmark.param_names, point, strict=True)]
    return "/".join([benchmark.family, *axes])


@pytest.mark.parametrize("suite", [bench_matmul.Whole, bench_matmul.Blocked, bench_sgd.Sgd])
def test_the_flops_of_a_combination_are_those_of_its_workload(
    discovered: dict[str, dict[str, Any]], suite: type[AsvBenchmark]
) -> None:
    (name,) = [name for name in discovered if f".{suite.__name__}." in name]
    exported = discovered[name]["flops_per_call"]
    table = data.surrogate("a test")
    compared = 0
    for point, flops in zip(itertools.product(*suite.params), exported, strict=True):
        name = case_name(suite, point)
        if name in cases.GATE:
            case = Case.parse(name)
            workload = matmul.prepare(case) if case.family == "matmul" else sgd.prepare(case, table)
            assert flops == workload.flops
            compared += 1
    assert compared >= 5


def asv_runs(benchmark: str, tmp_path: Path, **env: str) -> object:
    """What asv_runner records for one combination, in a process of its own as asv starts it."""
    target = tmp_path / "result.json"
    program = "import sys; from asv_runner.run import _run; _run(sys.argv[1:])"
    extra = json.dumps({"rounds": 1, "repeat": 3, "sample_time": 1e-3})
    arguments = [str(ROOT / "benchmarks"), benchmark, extra, "None", str(target)]
    environment = os.environ | {"FLOPLINE_DATA": "surrogate", "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=tmp_path,
        env=environment | env,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise AssertionError(done.stderr)
    return json.loads(target.read_text())


def combination(benchmark: type[AsvBenchmark], name: str, *point: str | int) -> str:
    """asv's identifier of a combination of parameters."""
    return f"{name}-{list(itertools.product(*benchmark.params)).index(point)}"


WHOLE = "bench_matmul.Whole.sampled_product"
SGD = "bench_sgd.Sgd.sampled_epoch"


@pytest.mark.parametrize(
    "name",
    [
        combination(bench_matmul.Whole, WHOLE, "full", 128),
        combination(bench_sgd.Sgd, SGD, "manual", 100),
    ],
)
def test_a_case_of_the_scale_gives_samples_of_many_calls(tmp_path: Path, name: str) -> None:
    result = asv_runs(name, tmp_path, FLOPLINE_SCALE="gate")
    assert isinstance(result, dict)
    assert len(result["samples"]) == 3
    # asv's own time_* would take one call a sample, because there is a setup.
    assert result["number"] > 1
    assert all(seconds > 0 for seconds in result["samples"])


def test_asv_records_a_case_outside_of_the_scale_as_not_applicable(tmp_path: Path) -> None:
    name = combination(bench_matmul.Whole, WHOLE, "full", 64)
    assert str(asv_runs(name, tmp_path, FLOPLINE_SCALE="gate")) == "nan"


def test_a_strategy_that_the_version_lacks_is_not_applicable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(matmul, "products", {"full": matmul.full})
    with pytest.raises(NotImplementedError, match="no strategy row"):
        bench_matmul.Whole().setup("row", 256)


def test_a_wrong_answer_is_never_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    def writes_nothing(out: object, b: object, c: object, *, block: int) -> None: ...

    monkeypatch.setattr(matmul, "products", {"full": writes_nothing})
    benchmark = bench_matmul.Whole()
    with pytest.raises(WrongAnswerError, match="not written"):
        benchmark.setup("full", 256)
    assert not hasattr(benchmark, "run")


def test_an_answer_that_becomes_wrong_fails_after_it_was_timed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = itertools.count()

    def late(out: torch.Tensor, b: torch.Tensor, c: torch.Tensor, *, block: int) -> None:
        torch.mm(b, c, out=out)
        if next(calls) > 2:
            out.zero_()

    monkeypatch.setattr(matmul, "products", {"full": late})
    benchmark = bench_matmul.Whole()
    benchmark.setup("full", 256)
    benchmark.run()
    benchmark.teardown("full", 256)
    with pytest.raises(WrongAnswerError, match="wrong answer"):
        benchmark.teardown("full", 256)


def test_epochs_are_not_measured_in_a_precision_that_drowns_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asv_case, "DTYPE", "bfloat16")
    with pytest.raises(NotImplementedError, match="bfloat16"):
        bench_sgd.Sgd().setup("manual", 100)


def test_a_sample_reads_the_clock_twice_and_collects_no_garbage() -> None:
    events: list[str] = []
    ticks = itertools.count()

    def clock() -> float:
        events.append(f"clock, {gc.isenabled()}")
        return float(next(ticks))

    def run() -> None:
        events.append("run")

    assert AsvTimer(run, clock).timeit(3) == 1.0
    assert events == ["clock, False", "run", "run", "run", "clock, False"]
    assert gc.isenabled()


def test_the_list_of_cases_needs_neither_asv_nor_torch(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['asv_runner'] = sys.modules['torch'] = None\n"
        "from benchmarks import cases; print(len(cases.CASES))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
    )
    assert done.stdout.split() == [b"3"]
