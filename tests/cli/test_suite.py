"""The command line, run as a program."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flopline import bench
from flopline.cli import suite

ROOT = Path(__file__).parents[2]

STRATEGIES = """
import torch

def library(out, b, c, *, block):
    torch.mm(b, c, out=out)

def sloppy(out, b, c, *, block):
    torch.mm(b, c, out=out)
    out[2:3, 5:6] += 1

def still(w, X, y, batches, lr):
    pass

def exits(out, b, c, *, block):
    import os
    os._exit(0)

def full(out, b, c, *, block):
    raise RuntimeError("this is not the built-in one")

def leaves(w, X, y, batches, lr):
    import os
    os._exit(0)
"""


SIZES = ("n=256/block=64", "n=1024/block=256")
"""The sizes at which products of other distributions are measured."""


def flopline(
    *arguments: str, cwd: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flopline", *arguments]
    return subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture(scope="module")
def third_party(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an installed distribution that brings one right and two wrong strategies."""
    project = tmp_path_factory.mktemp("project")
    (project / "kernels_of_others.py").write_text(STRATEGIES)
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "kernels-of-others"\nversion = "1.5"\n'
        '[project.entry-points."flopline.matmul"]\n'
        'library = "kernels_of_others:library"\nsloppy = "kernels_of_others:sloppy"\n'
        'missing = "kernels_of_others:nothing"\nexits = "kernels_of_others:exits"\n'
        'full = "kernels_of_others:full"\n"a/b" = "kernels_of_others:library"\n'
        '[project.entry-points."flopline.sgd"]\nstill = "kernels_of_others:still"\n'
        'leaves = "kernels_of_others:leaves"\n'
    )
    target = tmp_path_factory.mktemp("site")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
    ]
    subprocess.run([*pip, "--target", str(target), str(project)], check=True)
    return target


def test_the_version_is_the_packages() -> None:
    from flopline import __version__

    assert flopline("--version").stdout == f"flopline {__version__}\n"


def test_list_names_every_case_and_imports_no_torch() -> None:
    from benchmarks import cases

    listed = json.loads(flopline("list", "--json").stdout)["cases"]
    for scale, names in cases.CASES.items():
        assert {row["name"] for row in listed if scale in row["scales"]} == set(names), scale
    code = (
        "import atexit, sys; from flopline.cli import main; sys.argv[1:] = ['list']; "
        "atexit.register(lambda: print(sorted(sys.modules))); main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "'flopline.cli'" in done.stdout
    assert "'torch'" not in done.stdout


def test_list_finds_the_suite_from_anywhere(tmp_path: Path) -> None:
    here, there = flopline("list", "--json"), flopline("list", "--json", cwd=tmp_path)
    assert here.stdout == there.stdout


HOSTILE_PROJECT = {
    "pyproject.toml": '[project]\nname = "theirs"\n[tool.pytest.ini_options]\naddopts = "--ff"\n',
    "pytest.ini": "[pytest]\naddopts = --benchmark-disable\nminversion = 99\n",
    "tox.ini": "[pytest]\naddopts = -n 4\n",
    "conftest.py": "raise SystemExit('their conftest was read')\n",
    "benchmarks/__init__.py": "raise SystemExit('their package was imported')\n",
    "benchmarks/cases.py": "raise SystemExit('their cases were imported')\n",
    "benchmarks/conftest.py": "raise SystemExit('their conftest was read')\n",
    "torch.py": "raise SystemExit('their torch was imported')\n",
}
"""A project in which everything would stop the suite, were it read."""
HOSTILE_VARIABLES = {
    "PYTEST_ADDOPTS": "--benchmark-disable",
    "PYTEST_PLUGINS": "no_such_plugin",
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
}
ONE_CASE = ("-k", "full and 256 and not assign", "--benchmark-max-time=0.01")


@pytest.fixture
def surroundings(tmp_path: Path) -> Path:
    (tmp_path / "benchmarks").mkdir()
    for name, content in HOSTILE_PROJECT.items():
        (tmp_path / name).write_text(content)
    return tmp_path


def test_list_is_not_ruled_by_the_project_around(surroundings: Path) -> None:
    assert flopline("list", "--json", cwd=surroundings).stdout == flopline("list", "--json").stdout


def test_bench_is_not_ruled_by_the_project_around(surroundings: Path) -> None:
    done = flopline("bench", "--", *ONE_CASE, cwd=surroundings, **HOSTILE_VARIABLES)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^full +256 ", done.stdout, re.MULTILINE)


def test_bench_measures_a_checkout_in_a_folder_with_a_space(surroundings: Path) -> None:
    checkout = surroundings / "my checkout"
    shutil.copytree(ROOT / "benchmarks", checkout / "benchmarks")
    shutil.copy(ROOT / "pyproject.toml", checkout)
    record = checkout / "bench.json"
    done = flopline(
        "bench", "--json", record.name, "--", *ONE_CASE, cwd=checkout, **HOSTILE_VARIABLES
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"rootdir: {checkout}" in done.stdout
    (case,) = bench.load(record).rows
    assert case.case == "matmul/strategy=full/n=256"


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        ('[project]\nname = "flopline"\n', True),
        ('[project]\nname = "flopline-of-others"\n', False),
        ("project = 3\n", False),
        ("[project]\n", False),
        ("name =", False),
        ("\0", False),
        (None, False),
    ],
    ids=["flopline", "another", "a number", "no name", "broken", "binary", "none"],
)
def test_a_checkout_is_known_by_the_name_of_its_project(
    tmp_path: Path, content: str | None, *, answer: bool
) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "cases.py").touch()
    if content is not None:
        (tmp_path / "pyproject.toml").write_text(content)
    assert suite.is_checkout(tmp_path) is answer


@pytest.mark.parametrize(
    ("measured", "before", "is_complete", "after"),
    [
        ("new", None, True, "new"),
        ("new", "old", True, "new"),
        ("new", "old", False, "old"),
        ("new", None, False, "new"),
        ("", "old", True, "old"),
        (None, "old", True, "old"),
        (None, None, False, None),
    ],
)
def test_only_a_whole_run_replaces_a_record(
    tmp_path: Path,
    measured: str | None,
    before: str | None,
    after: str | None,
    *,
    is_complete: bool,
) -> None:
    temporary, record = tmp_path / "temporary", tmp_path / "record.json"
    for path, content in ((temporary, measured), (record, before)):
        if content is not None:
            path.write_text(content)
    kept = suite.keep_record(temporary, record, is_complete=is_complete)
    assert (record.read_text() if record.exists() else None) == after
    assert kept is (after == "new")


def test_an_interrupted_bench_leaves_the_record_of_a_whole_one(tmp_path: Path) -> None:
    record = tmp_path / "bench.json"
    record.write_text("whole")
    (tmp_path / "stops.py").write_text(
        "def pytest_runtest_logreport(report):\n"
        "    if report.when == 'teardown':\n        raise KeyboardInterrupt\n"
    )
    done = flopline(
        *("bench", "--json", str(record), "--", "-p", "stops", *ONE_CASE),
        PYTHONPATH=str(tmp_path),
    )
    assert done.returncode == 2
    assert f"the run was not complete, so {record} is left as it was" in done.stderr
    assert record.read_text() == "whole"


def test_a_strategy_of_another_distribution_is_listed_with_its_origin(third_party: Path) -> None:
    listed = json.loads(flopline("list", "--json", PYTHONPATH=str(third_party)).stdout)["cases"]
    assert {row["from"] for row in listed if "library" in row["name"]} == {"kernels-of-others 1.5"}
    assert "kernels-of-others" in flopline("list", PYTHONPATH=str(third_party)).stdout


def test_foreign_strategies_are_measured_or_refused_one_by_one(
    third_party: Path, tmp_path: Path
) -> None:
    record = tmp_path / "bench.json"
    done = flopline(
        *("bench", "--json", str(record), "--", "--benchmark-max-time=0.01", "-k"),
        "256 and (library or sloppy or missing or full) or still and 100]",
        PYTHONPATH=str(third_party),
        FLOPLINE_DATA="surrogate",
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "matmul/strategy=sloppy/n=256/block=64: wrong answer, worst at [2, 5]:" in done.stdout
    assert "sgd/strategy=still/batch=100: wrong answer" in done.stdout
    assert "has no attribute 'nothing'" in done.stdout
    measured = {bench["param"] for bench in json.loads(record.read_text())["benchmarks"]}
    assert {"matmul/strategy=library/n=256/block=64", "matmul/strategy=full/n=256"} <= measured
    assert not {
        name for name in measured if "sloppy" in name or "still" in name or "missing" in name
    }


def test_a_strategy_that_ends_the_process_is_refused_and_the_others_measured(
    third_party: Path, tmp_path: Path
) -> None:
    record = tmp_path / "bench.json"
    done = flopline(
        *("bench", "--json", str(record), "--", "--benchmark-max-time=0.01", "-k"),
        "256 and (library or exits)",
        PYTHONPATH=str(third_party),
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "the process ended with exit code 0 while this case was run" in done.stdout
    measured = [timed["param"] for timed in json.loads(record.read_text())["benchmarks"]]
    assert measured == [f"matmul/strategy=library/{size}" for size in SIZES]


def test_names_that_are_taken_or_none_are_told_by_list_and_bench(third_party: Path) -> None:
    listed = json.loads(flopline("list", "--json", PYTHONPATH=str(third_party)).stdout)
    reasons = {strategy["name"]: strategy["reason"] for strategy in listed["left_out"]}
    assert set(reasons) == {"full", "a/b"}
    shown = flopline("list", PYTHONPATH=str(third_party)).stdout
    assert all(f"left out: {reason}\n" in shown for reason in reasons.values())
    done = flopline(
        *("bench", "--", "--benchmark-max-time=0.01", "-k", "full and 256 and kernels"),
        PYTHONPATH=str(third_party),
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"refused: {reasons['full']}" in done.stdout


def test_train_with_a_strategy_that_ends_the_process_has_failed(third_party: Path) -> None:
    done = flopline(
        *("train", "gd", "--seeds", "1", "--strategy", "leaves"),
        PYTHONPATH=str(third_party),
        FLOPLINE_DATA="surrogate",
    )
    assert done.returncode == 2
    assert "the strategy 'leaves' ended the process with exit code 0" in done.stderr


def test_bench_refuses_a_folder_that_is_not_there(tmp_path: Path) -> None:
    done = flopline("bench", "--json", str(tmp_path / "no" / "bench.json"))
    assert done.returncode == 2
    assert "its folder does not exist" in done.stderr


def test_bench_refuses_a_variable_that_names_no_data(tmp_path: Path) -> None:
    done = flopline("bench", FLOPLINE_DATA=str(tmp_path / "missing"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "FLOPLINE_DATA names" in done.stderr


def test_bench_that_selects_nothing_could_not_do_its_work() -> None:
    assert flopline("bench", "--", "-k", "nothing_of_that_name").returncode == 2


def test_data_tells_source_hash_and_licence_of_the_real_file(airfoil: Path) -> None:
    facts = json.loads(flopline("data", str(airfoil), "--json").stdout)
    assert (facts["kind"], facts["name"]) == ("file", "airfoil")
    assert facts["sha256"] == "74c75fd71783f1e6b71f8a622b993dc592897a97cd689c5090a07147a1b097b3"
    assert "CC BY 4.0" in facts["licence"]
    assert "https://doi.org/10.24432/C5VW2C" in facts["attribution"]
    assert "CC BY 4.0" in flopline("data", str(airfoil)).stdout


def test_data_names_the_surrogate() -> None:
    facts = json.loads(flopline("data", "--json", FLOPLINE_DATA="surrogate").stdout)
    assert (facts["kind"], facts["name"], facts["sha256"]) == ("surrogate", "surrogate", "")


def test_data_refuses_a_wrong_file_with_one_message(tmp_path: Path) -> None:
    (tmp_path / "wrong.dat").write_text("1\t2\n")
    done = flopline("data", str(tmp_path / "wrong.dat"))
    assert done.returncode == 2
    assert done.stderr.startswith("flopline: ")
    assert "1 rows of 2 numbers instead of 1503 of 6" in done.stderr
    assert "Traceback" not in done.stderr


def test_importing_the_package_loads_nothing_but_itself() -> None:
    code = (
        "import sys; before = set(sys.modules); import flopline; "
        "print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['flopline']"
