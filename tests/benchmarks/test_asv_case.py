"""The suite as asv runs it: discovery, the type of benchmark, and what a case does to be measured."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import Batches, bench_matmul, bench_sgd, cases
from benchmarks import asv_case as kernel
from flopline import data, matmul, sgd
from flopline import workload as strategies

ROOT = Path(__file__).parents[2]

pytest.importorskip("asv_runner", reason="the extra `history` is not installed")


@pytest.fixture(scope="module")
def discovered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What asv_runner finds in the suite, by name, in a process of its own as asv does it."""
    target = tmp_path_factory.mktemp("found") / "found.json"
    program = "import sys; from asv_runner.discovery import _discover; _discover(sys.argv[1:])"  # as asv calls it
    subprocess.run(
        [sys.executable, "-c", program, ROOT / "benchmarks", target], check=True, cwd=target.parent
    )
    return {found["name"]: found for found in json.loads(target.read_text())}


def test_asv_discovers_exactly_these_benchmarks(discovered: dict[str, dict[str, Any]]) -> None:
    assert {name: found["param_names"] for name, found in discovered.items()} == {
        "bench_matmul.Whole.kernel_product": ["strategy", "n"],
        "bench_matmul.Blocked.kernel_product": ["strategy", "n", "block"],
        "bench_sgd.Sgd.kernel_epoch": ["strategy", "batch"],
    }


def test_asv_takes_them_for_times_in_seconds_with_a_version_of_ours(
    discovered: dict[str, dict[str, Any]],
) -> None:
    for found in discovered.values():
        assert (found["type"], found["unit"], found["version"]) == (
            "time",
            "seconds",
            kernel.Case.version,
        )
        assert found["rounds"] * found["repeat"] >= 8


@pytest.mark.parametrize("door", [bench_matmul.Whole, bench_matmul.Blocked, bench_sgd.Sgd])
def test_the_flops_of_a_combination_are_those_of_its_workload(
    discovered: dict[str, dict[str, Any]], door: type[kernel.Case]
) -> None:
    (found,) = (found for name, found in discovered.items() if f".{door.__name__}." in name)
    exported = found["flops_per_call"]
    table = data.surrogate("asked for")
    compared = 0
    for point, flops in zip(itertools.product(*door.params), exported, strict=True):
        name = "/".join(
            [door.family, *(f"{k}={v}" for k, v in zip(door.param_names, point, strict=True))]
        )
        if name in cases.GATE:
            case = strategies.Case.parse(name)
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
    given = os.environ | {"FLOPLINE_DATA": "surrogate", "PYTHONPATH": str(ROOT / "src")} | env
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(
        command, cwd=tmp_path, env=given, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise AssertionError(done.stderr)
    return json.loads(target.read_text())


def combination(door: type[kernel.Case], benchmark: str, *point: str | int) -> str:
    """asv's identifier of a combination of parameters."""
    return f"{benchmark}-{list(itertools.product(*door.params)).index(point)}"


def test_a_case_of_the_scale_gives_samples_of_many_calls(tmp_path: Path) -> None:
    for name in (
        combination(bench_matmul.Whole, "bench_matmul.Whole.kernel_product", "full", 128),
        combination(bench_sgd.Sgd, "bench_sgd.Sgd.kernel_epoch", "manual", 100),
    ):
        result = asv_runs(name, tmp_path, FLOPLINE_SCALE="gate")
        assert isinstance(result, dict)
        assert len(result["samples"]) == 3
        assert (
            result["number"] > 1
        )  # asv's own time_* would take one call a sample, because there is a setup
        assert all(seconds > 0 for seconds in result["samples"])


def test_a_case_that_the_scale_leaves_out_is_not_applicable(tmp_path: Path) -> None:
    name = combination(bench_matmul.Whole, "bench_matmul.Whole.kernel_product", "full", 64)
    assert str(asv_runs(name, tmp_path, FLOPLINE_SCALE="gate")) == "nan"


def test_a_strategy_that_the_version_lacks_is_not_applicable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(matmul.products._functions, "row")  # noqa: SLF001  # there is no public way to unregister
    with pytest.raises(NotImplementedError, match="no strategy row"):
        bench_matmul.Whole().setup("row", 256)


def test_a_wrong_answer_is_never_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(out: object, b: object, c: object, *, block: int) -> None:
        """Writes nothing."""

    monkeypatch.setitem(matmul.products._functions, "full", full)  # noqa: SLF001  # as above
    door = bench_matmul.Whole()
    with pytest.raises(strategies.WrongAnswerError, match="not written"):
        door.setup("full", 256)
    assert not hasattr(door, "run")


def test_epochs_are_not_measured_in_a_precision_that_drowns_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kernel, "DTYPE", "bfloat16")
    with pytest.raises(NotImplementedError, match="bfloat16"):
        bench_sgd.Sgd().setup("manual", 100)


def test_a_sample_reads_the_clock_twice_and_collects_no_garbage() -> None:
    events: list[str | bool] = []
    ticks = itertools.count()

    def clock() -> float:
        events.append("clock")
        return float(next(ticks))

    def run() -> None:
        events.append("run")

    assert Batches(run, clock).timeit(3) == 1.0
    assert events == ["clock", "run", "run", "run", "clock"]


def test_the_list_of_cases_needs_neither_asv_nor_torch(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['asv_runner'] = sys.modules['torch'] = None\n"
        "from benchmarks import cases; print(len(cases.CASES))"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
    )
    assert done.stdout.split() == [b"3"]
