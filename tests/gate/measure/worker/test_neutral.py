from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.gate.measure.support.neutral_session import install, run

if TYPE_CHECKING:
    from pathlib import Path

RUNNER = """
import pytest

class Inner:
    def pytest_collection_modifyitems(self, items):
        items.clear()

@pytest.fixture
def attempt():
    return 7

def pytest_addoption(parser):
    parser.addoption("--reruns", type=int, default=0)
    parser.addini("reruns", "how often")

def pytest_configure(config):
    config.addinivalue_line("markers", "flaky(reruns): run it again")
    config.pluginmanager.register(Inner())

def pytest_load_initial_conftests(early_config):
    raise AssertionError("it was started")

def pytest_runtest_protocol(item, nextitem):
    raise AssertionError("it ran a test")

def pytest_generate_tests(metafunc):
    metafunc.fixturenames.append("number")
    metafunc.parametrize("number", range(3))
"""
RANDOMLY = """
import random

def pytest_addoption(parser):
    parser.addoption("--randomly-seed", dest="randomly_seed", default="default")
    parser.addoption("--keep", dest="randomly_reorganize", action="store_false", default=True)

def pytest_configure(config):
    if config.option.randomly_seed == "default":
        config.option.randomly_seed = random.SystemRandom().getrandbits(32)

def pytest_runtest_call(item):
    random.seed(item.config.option.randomly_seed)

def pytest_collection_modifyitems(items):
    items.reverse()
"""
BENCHMARK = "def test_a(benchmark):\n    assert benchmark.enabled\n    benchmark(int)\n"


def write(folder: Path, **files: str) -> Path:
    """Writes files, whose names end in a double underscore in the place of the dot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def passed(result: tuple[int, str], count: int = 1) -> bool:
    """Whether so many tests ran and all passed; otherwise fails with the output."""
    status, output = result
    assert status == 0, output
    assert f" {count} passed" in output, output
    return True


def kept(folder: Path) -> set[str]:
    """The files that a session left in the folder of its suite."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.name for file in files if file.suffix != ".pyc"}


# Plugins that are installed


def test_a_runner_keeps_what_it_declares_and_loses_what_it_does(tmp_path: Path) -> None:
    install(tmp_path / "site", "pytest-rerunfailures", "rerunfailures", RUNNER)
    test = """
import pytest

@pytest.mark.flaky(reruns=3)
def test_a(request, attempt):
    assert (attempt, request.config.option.reruns, request.config.getini("reruns")) == (7, 0, "4")
"""
    settings = """[pytest]
addopts = --strict-config --strict-markers --reruns=2
reruns = 4
required_plugins = pytest-rerunfailures
"""
    suite = write(tmp_path / "suite", test_a__py=test, pytest__ini=settings)
    assert passed(run(suite, path=tmp_path / "site"))


def test_a_plugin_of_the_suite_is_no_runner_whatever_it_is_called(tmp_path: Path) -> None:
    suite = write(
        tmp_path / "suite",
        conftest__py="pytest_plugins = ['retry']\n",
        retry__py="def pytest_runtest_setup(item):\n    item.is_prepared = True\n",
        test_a__py="def test_a(request):\n    assert request.node.is_prepared\n",
    )
    assert passed(run(suite, path=suite))


@pytest.mark.parametrize(("options", "seed"), [([], 1), (["--randomly-seed=5"], 5)])
def test_random_numbers_are_seeded_equally_and_tests_keep_their_order(
    tmp_path: Path, options: list[str], seed: int
) -> None:
    install(
        tmp_path / "site",
        "pytest-randomly",
        "randomly",
        RANDOMLY.replace(
            'default="default")',
            'default="default", type=lambda text: int(text) if text.isdigit() else text)',
        ),
    )
    test = f"""
import random
DRAWN = []

def test_first():
    DRAWN.append(random.random())
    assert DRAWN[0] == random.Random({seed}).random()

def test_second():
    assert len(DRAWN) == 1
"""
    suite = write(tmp_path / "suite", test_a__py=test)
    assert passed(run(suite, *options, path=tmp_path / "site"), 2)


# Options of pytest and pytest-benchmark


@pytest.mark.parametrize(
    "options",
    [
        "--ff --nf --cache-clear",
        "--lf --lfnf=none --sw --stepwise-skip",
        "-x --collect-only --setup-plan --setup-only --pdb --trace --cache-show",
        "-n 2 --dist=loadfile --maxfail=1",
        "-p no:xdist -p no:cacheprovider -p no:tmpdir -p no:benchmark",
        "--benchmark-skip",
        "--benchmark-disable --benchmark-only",
    ],
)
def test_options_in_addopts_keep_no_benchmark_from_running(tmp_path: Path, options: str) -> None:
    settings = f"[pytest]\naddopts = {options}\n"
    suite = write(tmp_path / "suite", test_a__py=BENCHMARK, pytest__ini=settings)
    assert passed(run(suite))


def test_no_option_makes_a_session_write_into_the_suite(tmp_path: Path) -> None:
    options = """[pytest]
log_file = of_the_session.log
cache_dir = .kept
addopts = --junitxml=a.xml --benchmark-json=b.json --benchmark-autosave --benchmark-save=c
    --benchmark-histogram=d --benchmark-compare --benchmark-compare-fail=min:5%
    --benchmark-cprofile=tottime --benchmark-cprofile-dump=e
"""
    suite = write(tmp_path / "suite", test_a__py=BENCHMARK, pytest__ini=options)
    assert passed(run(suite))
    assert kept(suite) == {"test_a.py", "pytest.ini"}


def test_an_option_that_opens_its_file_opens_it_for_the_suite_alone(tmp_path: Path) -> None:
    option = "    parser.addoption('--{0}', dest='{0}', type=argparse.FileType('w'))\n"
    declares = "import argparse\ndef pytest_addoption(parser):\n" + option
    install(tmp_path / "site", "pytest-csv", "csv", declares.format("csv"))
    test = """
def test_a(request):
    assert request.config.option.csv is None
    request.config.option.table.write("mine")
"""
    suite = write(tmp_path / "suite", test_a__py=test, conftest__py=declares.format("table"))
    assert passed(run(suite, "--csv=a.csv", "--table=b.csv", path=tmp_path / "site"))
    assert kept(suite) == {"test_a.py", "conftest.py", "b.csv"}


def test_the_cache_works_and_lies_in_the_temporary_folder(tmp_path: Path) -> None:
    test = """
def test_a(request, cache):
    cache.set("suite/table", [1, 2])
    assert request.config.cache.get("suite/table", None) == [1, 2]
    assert cache.mkdir("suite").parents[2].name == "temporary"
"""
    settings = "[pytest]\naddopts = --strict-config\ncache_dir = .cache/pytest\n"
    suite = write(tmp_path / "suite", test_a__py=test, pytest__ini=settings)
    assert passed(run(suite))
    assert kept(suite) == {"test_a.py", "pytest.ini"}


def test_a_conftest_cannot_switch_benchmarks_off_either(tmp_path: Path) -> None:
    conftest = "def pytest_configure(config):\n    config.option.benchmark_disable = True\n"
    conftest += "    config.option.benchmark_skip = True\n"
    suite = write(tmp_path / "suite", test_a__py=BENCHMARK, conftest__py=conftest)
    assert passed(run(suite))


# Plugins that are not installed


def test_options_of_runners_that_are_not_installed_are_accepted(tmp_path: Path) -> None:
    options = "--codspeed --cov=package --cov --timeout 10 --reruns=2 -p no:xdist -n auto"
    test = """
import sys

def test_a(request):
    assert "--codspeed" in sys.argv
    assert request.config.getoption("--timeout") is None
    assert request.config.option.numprocesses is None
"""
    suite = write(tmp_path / "suite", test_a__py=test)
    assert passed(run(suite, *options.split()))


def test_an_option_of_the_suite_keeps_its_meaning(tmp_path: Path) -> None:
    conftest = "def pytest_addoption(parser):\n    parser.addoption('--timeout', type=int)\n"
    test = "def test_a(request):\n    assert request.config.option.timeout == 7\n"
    suite = write(tmp_path / "suite", test_a__py=test, conftest__py=conftest)
    assert passed(run(suite, "--timeout=7"))


def test_an_option_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    status, output = run(write(tmp_path / "suite", test_a__py=BENCHMARK), "--emoji")
    assert status == 4
    assert "unrecognized arguments: --emoji" in output


@pytest.mark.parametrize("folder", ["suite", "suite/below"])
def test_a_hook_of_a_plugin_that_is_not_installed_is_never_called(
    tmp_path: Path, folder: str
) -> None:
    conftest = "def pytest_emoji_passed(config):\n    raise AssertionError\n"
    write(tmp_path / folder, test_a__py=BENCHMARK, conftest__py=conftest)
    assert passed(run(tmp_path / "suite"))


# What else a suite may demand


def test_a_session_starts_where_warnings_are_errors(tmp_path: Path) -> None:
    suite = write(tmp_path / "suite", test_a__py=BENCHMARK)
    (suite / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    assert passed(run(suite, "-W", "error"))


def test_a_test_finds_folder_and_interpreter_as_they_were(tmp_path: Path) -> None:
    test = """
import gc
import os
import sys

BEFORE = os.getcwd(), sys.getswitchinterval()

def test_changes(tmp_path):
    os.chdir(tmp_path)
    gc.disable()
    sys.setswitchinterval(1e-4)

def test_finds():
    assert gc.isenabled()
    assert (os.getcwd(), sys.getswitchinterval()) == BEFORE
"""
    assert passed(run(write(tmp_path / "suite", test_a__py=test)), 2)
