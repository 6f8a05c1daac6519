"""pytest's door, as projects other than flopline use it: real pytest processes on small suites."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest_plugins = ["pytester"]

SUITE = """
import pytest
from flopline.strategies import Accuracy, Case, Workload

def workload(wrong=False):
    state = {}
    def run():
        state["sum"] = sum(range(100)) + wrong
    def check():
        found = state["sum"]
        return Accuracy(abs(found - 4950), 0.5, (0,), found, 4950)
    return Workload(
        case=Case("adding", "builtin", {"n": 100}), run=run, flops=100, bytes=800, calls=1,
        poison=state.clear, check=check, facts={"dtype": "int"},
    )
"""


def suite(pytester: pytest.Pytester, body: str) -> None:
    pytester.makepyfile(SUITE + body)


def run_json(pytester: pytest.Pytester, *arguments: str) -> dict[str, Any]:
    result = pytester.runpytest_subprocess(
        "--benchmark-json=out.json", "--benchmark-max-time=0.01", *arguments
    )
    assert result.ret == 0, result.stdout.str()
    record: dict[str, Any] = json.loads((pytester.path / "out.json").read_text())
    return record


def test_a_run_that_does_not_measure_imports_no_torch_and_says_nothing(
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
    lines = [
        line
        for line in result.stdout.lines
        if "flopline" in line and not line.startswith("plugins:")
    ]
    assert lines == []
    assert "flopline" not in json.loads((pytester.path / "out.json").read_text())["machine_info"]


def test_a_workload_of_another_project_is_verified_timed_and_recorded(
    pytester: pytest.Pytester,
) -> None:
    suite(pytester, "def test_sum(measure):\n    measure(workload())\n")
    record = run_json(pytester)
    (bench,) = record["benchmarks"]
    facts = bench["extra_info"]
    declared = {"flops": 100, "bytes": 800, "calls": 1, "error": 0, "error_bound": 0.5}
    assert (
        facts | declared | {"device": "cpu", "threads": 1, "clock": "host", "dtype": "int"} == facts
    )
    assert {"torch", "blas"} <= set(facts)
    assert facts["seconds"] == bench["stats"]["median"]
    assert facts["gflops"] == pytest.approx(100 / facts["seconds"] / 1e9)
    assert record["machine_info"]["flopline"]["torch"] == facts["torch"]


def test_max_time_and_min_rounds_decide_how_many_batches_there_are(
    pytester: pytest.Pytester,
) -> None:
    suite(
        pytester,
        "def test_option(measure):\n    measure(workload())\n"
        "@pytest.mark.benchmark(max_time=0.001, min_rounds=3)\n"
        "def test_marker(measure):\n    measure(workload())\n",
    )
    by_name = {
        bench["name"]: bench["stats"]["rounds"]
        for bench in run_json(pytester, "--benchmark-min-rounds=7")["benchmarks"]
    }
    assert by_name == {"test_option": 7, "test_marker": 3}


def test_a_wrong_answer_is_refused_and_the_others_go_on(pytester: pytest.Pytester) -> None:
    suite(
        pytester,
        "def test_wrong(measure):\n    measure(workload(wrong=True))\n"
        "def test_right(measure):\n    measure(workload())\n",
    )
    result = pytester.runpytest_subprocess("--benchmark-json=out.json", "--benchmark-max-time=0.01")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(
        [
            "refused: adding/*/n=100: wrong answer, worst at [[]0]: 4951 instead of 4950, error 1, bound 0.5*"
        ]
    )
    names = [
        bench["name"]
        for bench in json.loads((pytester.path / "out.json").read_text())["benchmarks"]
    ]
    assert names == ["test_right"]


def test_disabled_benchmarks_are_verified_but_not_timed(pytester: pytest.Pytester) -> None:
    suite(
        pytester,
        "def test_wrong(measure):\n    measure(workload(wrong=True))\n"
        "def test_right(measure):\n    measure(workload())\n",
    )
    result = pytester.runpytest_subprocess("--benchmark-disable")
    result.assert_outcomes(failed=1, passed=1)
    assert "GFLOPS" not in result.stdout.str()


def test_threads_are_pinned_while_measuring(pytester: pytest.Pytester) -> None:
    suite(
        pytester,
        "def test_threads(measure):\n"
        "    import torch\n"
        "    from threadpoolctl import threadpool_info\n"
        "    assert torch.get_num_threads() == 2\n"
        "    assert {pool['num_threads'] for pool in threadpool_info()} <= {1, 2}\n"
        "    measure(workload())\n",
    )
    assert run_json(pytester, "--flopline-threads=2")["benchmarks"][0]["extra_info"]["threads"] == 2


def test_the_fixtures_prepare_the_cases_they_are_parametrised_with(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        "import pytest\n"
        "@pytest.mark.parametrize('product', ['matmul/strategy=tile/n=16/block=5'], indirect=True)\n"
        "def test_product(product, measure):\n    measure(product)\n"
        "@pytest.mark.parametrize('epoch', ['sgd/strategy=manual/batch=100'], indirect=True)\n"
        "def test_epoch(epoch, measure):\n    measure(epoch)\n"
    )
    product, epoch = run_json(pytester, "--flopline-dtype=float64", "--flopline-data=surrogate")[
        "benchmarks"
    ]
    assert product["extra_info"]["flops"] == 2 * 16**3
    assert product["extra_info"]["calls"] == 16
    assert epoch["extra_info"]["data"] == "surrogate"
    assert {product["extra_info"]["dtype"], epoch["extra_info"]["dtype"]} == {"float64"}
    assert 0 < product["extra_info"]["overhead"] <= 1


def test_a_summary_has_a_table_per_family(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import pytest\n"
        "names = ['matmul/strategy=full/n=16', 'matmul/strategy=row/n=16']\n"
        "@pytest.mark.parametrize('product', names, indirect=True)\n"
        "def test_product(product, measure):\n    measure(product)\n"
        "@pytest.mark.parametrize('epoch', ['sgd/strategy=manual/batch=100'], indirect=True)\n"
        "def test_epoch(epoch, measure):\n    measure(epoch)\n"
    )
    result = pytester.runpytest_subprocess("--flopline-data=surrogate", "--benchmark-max-time=0.01")
    result.stdout.fnmatch_lines(
        [
            "matmul*",
            "strategy*n*time*IQR*GFLOPS*of full*overhead*",
            "full*16*1.000*%*",
            "row*16*%*",
            "sgd*",
            "strategy*batch*s/epoch*updates/s*overhead*",
            "manual*100*",
            "measured with device cpu, threads 1, *dtype float32, data surrogate*",
        ]
    )


def test_epochs_are_skipped_in_dtypes_without_a_tolerance(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import pytest\n"
        "@pytest.mark.parametrize('epoch', ['sgd/strategy=manual/batch=100'], indirect=True)\n"
        "def test_epoch(epoch, measure):\n    measure(epoch)\n"
    )
    result = pytester.runpytest_subprocess(
        "--flopline-dtype=bfloat16", "--flopline-data=surrogate", "-rs"
    )
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(
        ["*epochs of SGD are measured in float32 and float64, not in bfloat16*"]
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--flopline-threads=0"], "*--flopline-threads is 0; allowed is 1 or more*"),
        (
            ["--flopline-device=gpu"],
            "*--flopline-device is 'gpu'; allowed are cpu, cuda and cuda:N*",
        ),
        (
            ["--flopline-device=cuda:x"],
            "*--flopline-device is 'cuda:x'; allowed are cpu, cuda and cuda:N*",
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
    result = pytester.runpytest_subprocess(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])


def test_a_missing_cuda_device_is_refused_once(pytester: pytest.Pytester) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    suite(pytester, "def test_sum(measure):\n    measure(workload())\n")
    result = pytester.runpytest_subprocess("--flopline-device=cuda")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert sum("finds no CUDA device here; use cpu" in line for line in result.stderr.lines) == 1


def test_a_fixture_without_a_case_says_how_to_give_one(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_product(product):\n    pass\n")
    result = pytester.runpytest_subprocess()
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
    (bench,) = run_json(pytester, "--flopline-device=cuda", f"--flopline-dtype={dtype}")[
        "benchmarks"
    ]
    assert bench["group"] == "g"
    assert bench["options"]["timer"].endswith("synchronised")
    assert bench["extra_info"]["dtype"] == dtype
    assert bench["extra_info"]["gflops"] < 2e6, (
        "no device is this fast: the clock did not wait for the work"
    )
