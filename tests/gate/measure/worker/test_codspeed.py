from __future__ import annotations

import importlib.util
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from flopline.gate.measure.worker.flopline_worker.codspeed import (
    accepted,
    complete_mark,
    is_marked,
    uses_fixture,
)
from tests.gate.measure.support.neutral_session import CODSPEED, install, run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True, scope="module")
def _declared(pytestconfig: pytest.Config) -> None:
    pytestconfig.addinivalue_line("markers", "codspeed_benchmark: of pytest-codspeed")


def write(folder: Path, **files: str) -> Path:
    """Writes Python files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def item_with(request: pytest.FixtureRequest, *marks: pytest.MarkDecorator) -> Any:  # noqa: ANN401  # of pytest
    """A test function that is not run, with marks; the first is the closest."""
    item = pytest.Function.from_parent(
        request.node.parent, name="test_made_up", callobj=lambda: None
    )
    for mark in reversed(marks):
        item.add_marker(mark, append=False)
    return item


def closest(item: Any) -> dict[str, object]:  # noqa: ANN401  # of pytest
    """The arguments that pytest-benchmark finds."""
    mark = item.get_closest_marker("benchmark")
    return dict(mark.kwargs) if mark else {}


# Which tests are benchmarks


@pytest.fixture
def codspeed(pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """This run of pytest was given the option."""
    monkeypatch.setattr(pytestconfig.option, "codspeed", True, raising=False)


@pytest.mark.usefixtures("codspeed")
@pytest.mark.parametrize("name", ["benchmark", "codspeed_benchmark"])
def test_a_mark_makes_a_test_a_benchmark(request: pytest.FixtureRequest, name: str) -> None:
    mark = getattr(pytest.mark, name)
    assert not is_marked(item_with(request))
    assert is_marked(item_with(request, mark))
    assert is_marked(item_with(request, mark(group="a", max_rounds=3, unknown=4)))


def test_a_mark_that_other_suites_have_counts_only_with_pytest_codspeed(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if importlib.util.find_spec("pytest_codspeed"):
        pytest.skip("pytest-codspeed is installed")
    ours, theirs = item_with(request, pytest.mark.benchmark), pytest.mark.codspeed_benchmark
    assert not is_marked(ours)
    assert is_marked(item_with(request, theirs))
    write(tmp_path, pytest_codspeed="")
    monkeypatch.syspath_prepend(tmp_path)
    assert is_marked(ours)


@pytest.mark.usefixtures("codspeed")
def test_an_argument_that_pytest_codspeed_refuses_makes_no_benchmark(
    request: pytest.FixtureRequest,
) -> None:
    assert not is_marked(item_with(request, pytest.mark.benchmark(min_rounds=3)))


def test_what_is_no_function_is_no_benchmark_by_a_mark() -> None:
    marked = SimpleNamespace(get_closest_marker=lambda _: pytest.mark.benchmark.mark)
    assert not is_marked(marked)


def by_name(request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("codspeed_benchmark")


def test_a_fixture_is_seen_in_the_names_and_in_the_code() -> None:
    assert uses_fixture(SimpleNamespace(fixturenames=["a", "codspeed_benchmark"]))
    assert uses_fixture(SimpleNamespace(fixturenames=[], function=by_name))
    assert not uses_fixture(SimpleNamespace(fixturenames=["a"], function=len))
    assert not uses_fixture(SimpleNamespace())


# What pytest-benchmark finds in the mark


def test_the_accepted_arguments_are_those_of_the_mark() -> None:
    assert {"group", "timer", "min_time", "max_time", "min_rounds"} <= accepted()
    assert accepted().isdisjoint({"self", "node", "disabled", "max_rounds"})


def test_arguments_that_only_pytest_codspeed_knows_are_left_out(
    request: pytest.FixtureRequest,
) -> None:
    item = item_with(request, pytest.mark.benchmark(max_rounds=3, group="a", max_time=2))
    complete_mark(item)
    assert closest(item) == {"group": "a", "max_time": 2}


def test_the_mark_of_pytest_codspeed_counts_more(request: pytest.FixtureRequest) -> None:
    theirs, ours = pytest.mark.codspeed_benchmark, pytest.mark.benchmark
    item = item_with(request, ours(group="a", warmup=True), theirs(group="b"))
    complete_mark(item)
    assert closest(item) == {"group": "b", "warmup": True}


def test_a_mark_that_is_complete_is_left_alone(request: pytest.FixtureRequest) -> None:
    item = item_with(request, pytest.mark.benchmark(group="a"))
    for _ in range(2):
        complete_mark(item)
    assert len(item.own_markers) == 1
    unmarked = item_with(request)
    complete_mark(unmarked)
    assert unmarked.own_markers == []


def test_a_mark_with_positional_arguments_stays_an_error(request: pytest.FixtureRequest) -> None:
    item = item_with(request, pytest.mark.benchmark("a", max_rounds=3))
    complete_mark(item)
    assert len(item.own_markers) == 1


# A session


def test_marked_tests_are_timed_and_others_run_once(tmp_path: Path) -> None:
    test = """
import pytest
calls = {"marked": 0, "own": 0}

@pytest.mark.benchmark
def test_marked():
    calls["marked"] += 1

def test_own():
    calls["own"] += 1

def test_counts():
    assert calls["marked"] > 1
    assert calls["own"] == 1
"""
    status, output = run(write(tmp_path / "suite", test_a=test), "--codspeed")
    assert status == 0, output
    assert "1 tests" in output, output  # pytest-benchmark's table


def test_an_asynchronous_test_is_timed_with_what_runs_it(tmp_path: Path) -> None:
    conftest = """
import asyncio
import inspect
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if inspect.iscoroutinefunction(pyfuncitem.obj):
        asyncio.run(pyfuncitem.obj())
        return True
"""
    test = """
import pytest
calls = []

@pytest.mark.benchmark
async def test_marked():
    calls.append(1)

def test_counts(request):
    assert len(calls) > 1
    assert request.session.items[0].runtest.__self__ is request.session.items[0]
"""
    status, output = run(write(tmp_path / "suite", test_a=test, conftest=conftest), "--codspeed")
    assert status == 0, output


def test_a_fixture_of_the_suite_comes_before_ours(tmp_path: Path) -> None:
    conftest = "import pytest\n@pytest.fixture\ndef codspeed_benchmark():\n    return 7\n"
    test = "def test_a(codspeed_benchmark):\n    assert codspeed_benchmark == 7\n"
    status, output = run(write(tmp_path / "suite", test_a=test, conftest=conftest))
    assert status == 0, output


def test_pytest_codspeed_is_never_started_and_its_options_stay(tmp_path: Path) -> None:
    install(tmp_path / "site", "pytest-codspeed", "codspeed", CODSPEED)
    test = """
def test_a(codspeed_benchmark, request):
    assert type(codspeed_benchmark).__module__ == "pytest_benchmark.fixture"
    assert codspeed_benchmark(sum, [1, 2]) == 3
    assert request.config.getoption("--codspeed")
    assert request.config.getoption("--codspeed-mode") == "simulation"
    assert request.config.getoption("--codspeed-later")
"""
    suite = write(tmp_path / "suite", test_a=test)
    options = ("--codspeed", "--codspeed-mode=simulation", "--codspeed-later")
    status, output = run(suite, *options, path=tmp_path / "site")
    assert status == 0, output
