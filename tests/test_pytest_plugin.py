"""The plugin as projects other than flopline use it: real pytest runs of small suites."""

from __future__ import annotations

import fnmatch
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

pytest_plugins = ["pytester"]

SUITE = Path(__file__).parent / "suites" / "workloads"
"""Workloads of another project, one of them wrong, and cases that flopline's fixtures prepare."""


@dataclass(frozen=True)
class Run:
    """A finished run of the suite.

    Attributes:
        code: Its exit code.
        output: Standard output and standard error.
        record: pytest-benchmark's JSON.
    """

    code: int
    output: str
    record: dict[str, Any]

    def benchmark(self, name: str) -> dict[str, Any]:
        """What the record holds of one test."""
        for entry in self.record["benchmarks"]:
            if entry["name"] == name:
                return dict(entry)
        raise KeyError(name)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of the whole suite in a process of its own, with two threads and in float64."""
    folder = tmp_path_factory.mktemp("run")
    shutil.copytree(SUITE, folder, dirs_exist_ok=True)
    record = folder / "out.json"
    options = ["--benchmark-max-time=0.01", "--benchmark-min-rounds=7", "--flopline-threads=2"]
    options += ["--flopline-dtype=float64", f"--benchmark-json={record}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=folder,
        env=os.environ | {"COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert record.is_file(), done.stdout
    return Run(done.returncode, done.stdout, json.loads(record.read_text()))


@pytest.fixture(scope="module")
def cheats(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of strategies that are right, and break a rule all the same."""
    folder = tmp_path_factory.mktemp("cheats")
    shutil.copytree(SUITE.parent / "cheats", folder, dirs_exist_ok=True)
    record = folder / "out.json"
    options = ["--benchmark-max-time=0.01", "--benchmark-min-rounds=3", "--tb=line"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, f"--benchmark-json={record}"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )
    assert record.is_file(), done.stdout
    return Run(done.returncode, done.stdout, json.loads(record.read_text()))


REFUSED = {
    "remembers": "a run on operands that have just changed takes * the strategy keeps its answers",
    "two_threads": "the strategy changed threads of torch from 1 to 2",
    "double": "the strategy changed the default dtype from torch.float32 to torch.float64",
    "exits": "the strategy raised SystemExit: 0",
    "interrupts": "the strategy raised KeyboardInterrupt: ",
    "skips": "the strategy raised Skipped: nothing to see",
    "ends_pytest": "the strategy raised Exit: all is well",
    "late": "wrong answer afterwards, although it was right at first",
    "spins": "the strategy goes on computing after it has returned",
    "full": "not measured, because matmul/strategy=spins/n=64 is still computing",
}


@pytest.mark.parametrize("strategy", REFUSED)
def test_a_strategy_that_breaks_a_rule_is_refused_by_name(cheats: Run, strategy: str) -> None:
    lines = fnmatch.filter(
        cheats.output.splitlines(),
        f"refused: matmul/strategy={strategy}/n=64: {REFUSED[strategy]}*",
    )
    assert len(lines) == 1
    assert cheats.code == pytest.ExitCode.TESTS_FAILED


def test_nothing_is_kept_of_what_was_refused_and_the_others_are_measured(cheats: Run) -> None:
    names = [entry["name"] for entry in cheats.record["benchmarks"]]
    assert names == ["test_cheat[forks]", "test_cheat[honest]", "test_honest_again"]
    tables = cheats.output.partition("= flopline =")[2]
    for strategy in REFUSED:
        assert not any(line.startswith(f"{strategy} ") for line in tables.splitlines())
    assert "test_cheat[late]" not in tables.partition("short test summary")[0]


def test_numbers_of_every_kind_are_numbers_in_the_record(run: Run) -> None:
    facts = run.benchmark("test_numbers")["extra_info"]
    assert (facts["flops"], facts["share"], facts["rate"]) == (1024, 0.5, None)
    assert type(facts["flops"]) is int


def test_a_number_that_is_none_is_refused_with_its_field(run: Run) -> None:
    message = "refused: adding/strategy=builtin/n=100: bytes is 'many'; allowed are numbers from 0"
    assert any(line.startswith(message) for line in run.output.splitlines())


def copy_suite(pytester: pytest.Pytester) -> None:
    """Copies the suite for a run inside this process."""
    shutil.copytree(SUITE, pytester.path, dirs_exist_ok=True)


def test_a_run_that_does_not_measure_imports_no_torch_and_adds_nothing(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        "import sys\n"
        "def test_nothing(benchmark):\n"
        "    benchmark(len, 'abc')\n"
        "    assert not {'torch', 'numpy', 'rich', 'matplotlib'} & set(sys.modules)\n"
    )
    result = pytester.runpytest_subprocess("-p", "no:hypothesispytest", "--benchmark-json=out.json")
    assert result.ret == 0, result.stdout.str()
    lines = [line for line in result.stdout.lines if not line.startswith("plugins:")]
    assert not any("flopline" in line for line in lines)
    record = json.loads((pytester.path / "out.json").read_text())
    assert "flopline" not in record
    assert "flopline" not in record["machine_info"]


def test_a_workload_of_another_project_is_verified_timed_and_recorded(run: Run) -> None:
    benchmark = run.benchmark("test_right")
    facts = benchmark["extra_info"]
    declared = {"flops": 100, "bytes": 800, "calls": 1, "error": 0, "error_bound": 0.5}
    conditions = {"device": "cpu", "threads": 2, "clock": "host", "numbers": "int"}
    assert facts | declared | conditions == facts
    assert {"torch", "blas"} <= set(facts)
    assert facts["seconds"] == benchmark["stats"]["median"]
    assert facts["gflops"] == pytest.approx(100 / facts["seconds"] / 1e9)
    assert run.record["machine_info"]["flopline"]["torch"] == facts["torch"]


def test_max_time_and_min_rounds_decide_how_many_batches_there_are(run: Run) -> None:
    assert run.benchmark("test_right")["stats"]["rounds"] == 7
    assert run.benchmark("test_marked")["stats"]["rounds"] == 3


def test_a_wrong_answer_is_refused_and_the_others_go_on(run: Run) -> None:
    assert run.code == pytest.ExitCode.TESTS_FAILED
    names = [entry["name"] for entry in run.record["benchmarks"]]
    assert "test_wrong" not in names
    assert {"test_right", "test_marked", "test_threads"} <= set(names)
    refused = next(line for line in run.output.splitlines() if line.startswith("refused: "))
    case = "adding/strategy=builtin/n=100"
    reason = "wrong answer, worst at [0]: 4951 instead of 4950, error 1, bound 0.5"
    assert refused.startswith(f"refused: {case}: {reason}")


def test_threads_are_pinned_while_measuring(run: Run) -> None:
    assert run.benchmark("test_threads")["extra_info"]["threads"] == 2


def test_disabled_benchmarks_are_verified_but_not_timed(pytester: pytest.Pytester) -> None:
    copy_suite(pytester)
    # pytest-benchmark warns of a fixture that times nothing, and here warnings are errors.
    options = ("--benchmark-disable", "-W", "default", "-k", "right or wrong")
    result = pytester.runpytest_inprocess(*options)
    result.assert_outcomes(failed=1, passed=1, deselected=8)
    assert "GFLOPS" not in result.stdout.str()


def test_the_fixtures_prepare_the_cases_they_are_parametrised_with(run: Run) -> None:
    product = run.benchmark("test_product[matmul/strategy=tile/n=16/block=5]")["extra_info"]
    epoch = run.benchmark("test_epoch[sgd/strategy=manual/batch=100]")["extra_info"]
    assert (product["flops"], product["calls"]) == (2 * 16**3, 16)
    assert epoch["data"] == "surrogate"
    assert product["dtype"] == epoch["dtype"] == "float64"
    assert 0 < product["overhead"] <= 1


def test_a_summary_has_a_table_per_family(run: Run) -> None:
    lines = iter(run.output.splitlines())
    expected = [
        ("matmul",),
        ("strategy", "n", "block", "time", "IQR", "GFLOPS", "of full", "overhead"),
        ("full", "16", "1.000", "%"),
        ("row", "16", "%"),
        ("sgd",),
        ("strategy", "batch", "s/epoch", "IQR", "GFLOPS", "updates/s", "overhead"),
        ("manual", "100"),
        ("adding",),
        ("strategy", "n", "time", "IQR", "GFLOPS"),
        ("builtin", "100", "%"),
        ("measured with device cpu, threads 2, clock host", "dtype float64, data surrogate"),
        ("timed batches took", "of measuring"),
    ]
    for words in expected:
        assert any(starts_with_words(line, words) for line in lines), words


def starts_with_words(line: str, words: tuple[str, ...]) -> bool:
    """True if a line starts with the first of some words and has the others in this order."""
    if not line.startswith(words[0]):
        return False
    end = 0
    for word in words:
        end = line.find(word, end)
        if end < 0:
            return False
    return True


def test_epochs_are_skipped_in_dtypes_without_a_tolerance(pytester: pytest.Pytester) -> None:
    copy_suite(pytester)
    result = pytester.runpytest_inprocess("--flopline-dtype=bfloat16", "-rs", "-k", "epoch")
    result.assert_outcomes(skipped=1, deselected=9)
    result.stdout.fnmatch_lines(
        ["*epochs of SGD are measured in float32 and float64, not in bfloat16*"]
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--flopline-threads=0"], "*--flopline-threads is 0; allowed is 1 or more*"),
        (["--flopline-threads=100000"], "*--flopline-threads is 100000; * at most *processors*"),
        (["--flopline-threads=1000000000000"], "*is 1000000000000; * at most *"),
        (["--flopline-data=nosuch"], "*the path names 'nosuch', which is no file*"),
        (
            ["--flopline-device=gpu"],
            "*--flopline-device is 'gpu'; allowed are cpu, cuda and cuda:N*",
        ),
        (
            ["--flopline-device=cuda:x"],
            "*--flopline-device is 'cuda:x'; allowed are cpu, cuda and cuda:N*",
        ),
        (
            ["--flopline-device=cuda:"],
            "*--flopline-device is 'cuda:'; allowed are cpu, cuda and cuda:N*",
        ),
        (
            ["--flopline-dtype=tf32"],
            "*tf32 exists on CUDA devices only; add --flopline-device cuda*",
        ),
    ],
)
def test_settings_that_cannot_be_measured_are_refused_before_any_test(
    pytester: pytest.Pytester, options: list[str], message: str
) -> None:
    pytester.makepyfile("def test_nothing():\n    pass\n")
    result = pytester.runpytest_inprocess(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a CUDA device")
def test_a_missing_cuda_device_is_refused_once(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_nothing():\n    pass\n")
    result = pytester.runpytest_inprocess("--flopline-device=cuda")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert sum("finds no CUDA device here; use cpu" in line for line in result.stderr.lines) == 1


def test_a_fixture_without_a_case_says_how_to_give_one(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_product(product):\n    pass\n")
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["*the fixture 'product' needs a case: @pytest.mark.parametrize('product', *"]
    )


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", ["float32", "tf32", "bfloat16"])
def test_cuda_products_are_timed_by_a_clock_that_synchronises(
    pytester: pytest.Pytester, dtype: str
) -> None:
    pytester.makepyfile(
        "import pytest\n"
        "@pytest.mark.benchmark(group='g')\n"
        "@pytest.mark.parametrize('product', ['matmul/strategy=full/n=2048'], indirect=True)\n"
        "def test_product(product, measure):\n    measure(product)\n"
    )
    result = pytester.runpytest_subprocess(
        "--benchmark-json=out.json",
        "--benchmark-max-time=0.01",
        "--flopline-device=cuda",
        f"--flopline-dtype={dtype}",
    )
    assert result.ret == 0, result.stdout.str()
    (benchmark,) = json.loads((pytester.path / "out.json").read_text())["benchmarks"]
    assert benchmark["group"] == "g"
    assert benchmark["options"]["timer"].endswith("synchronised")
    assert benchmark["extra_info"]["dtype"] == dtype
    # No device is this fast; at such a rate the clock would not have waited for the work.
    assert benchmark["extra_info"]["gflops"] < 2e6
