"""Each number stands under its own name, whatever a suite and its plugins do with the tests."""

from __future__ import annotations

import os
import textwrap
from typing import TYPE_CHECKING

import pytest

from flopline.gate.measure.block import run_block
from flopline.gate.measure.counting import Counted, CountingPair
from flopline.gate.measure.pair import list_benchmarks
from flopline.gate.measure.worker.flopline_worker.protocol import CountCalls
from flopline.gate.record import BlockRequest, Settings
from flopline.progress import Progress
from tests.gate.support.make_sides import LIGHT, make_side

if TYPE_CHECKING:
    from pathlib import Path

    from flopline.gate.record import Block, SideName
    from flopline.gate.sides.environment import Side

pytestmark = pytest.mark.usefixtures("marker")
CPUS = sorted(os.sched_getaffinity(0))
FIRST, LONG, SHORT = (f"test_a.py::test_{name}" for name in ("first", "long", "short"))
BENCHMARKS = """
    import os
    import pytest

    def is_baseline():
        return os.path.basename(os.getcwd()) == "baseline"

    def test_long(benchmark):
        benchmark(sum, range(100_000))

    def test_short(benchmark):
        benchmark(int)
    """
FIRST_PASSES = """
    def test_first(benchmark):
        benchmark(int)
    """


def two_sides(folder: Path, **files: str) -> tuple[Side, Side]:
    """Two sides with these files; in their names `__` stands for a point."""
    sides = []
    names: tuple[SideName, ...] = ("baseline", "candidate")
    for name in names:
        tree = folder / name
        tree.mkdir()
        for file, text in files.items():
            (tree / file.replace("__", ".")).write_text(textwrap.dedent(text))
        sides.append(make_side(name, tree))
    return sides[0], sides[1]


def suite(folder: Path, conftest: str = "", first: str = FIRST_PASSES, ini: str = "") -> Block:
    """Runs one block of the benchmarks first, long and short."""
    tests = textwrap.dedent(BENCHMARKS) + textwrap.dedent(first)
    sides = two_sides(
        folder, test_a__py=tests, conftest__py=conftest, pytest__ini=f"[pytest]\n{ini}"
    )
    return block_of(sides, FIRST, LONG, SHORT)


def block_of(sides: tuple[Side, Side], *benchmarks: str) -> Block:
    return run_block(
        *sides,
        BlockRequest("screen", benchmarks, 0.02, Progress("screen")),
        Settings(detect=0.1, arguments=LIGHT),
        cpus=CPUS,
    )


def assert_own_times(block: Block) -> None:
    """The long benchmark takes thousands of times as long as the short one."""
    for side in ("baseline", "candidate"):
        long, short = (getattr(block.quads[name][0], side)[0] for name in (LONG, SHORT))
        assert long.cpu / long.calls > 20 * short.cpu / short.calls


# Order and number


ORDERS = {
    "sorted after all others": """
        import pytest
        @pytest.hookimpl(trylast=True)
        def pytest_collection_modifyitems(items):
            items.reverse()
        """,
    "sorted when collected": """
        import pytest
        @pytest.hookimpl(trylast=True)
        def pytest_collection_finish(session):
            session.items.reverse()
        """,
    "repeated": """
        def pytest_collection_modifyitems(items):
            items[:] = items * 2
        """,
    "a loop of its own": """
        import pytest
        @pytest.hookimpl(tryfirst=True)
        def pytest_runtestloop(session):
            for item in reversed(session.items):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
            return True
        """,
    "shuffled on one side": """
        import os
        def pytest_collection_modifyitems(items):
            if os.path.basename(os.getcwd()) == "baseline":
                items.reverse()
        """,
}


@pytest.mark.parametrize("conftest", ORDERS.values(), ids=ORDERS)
def test_the_order_is_the_coordinators_whatever_a_conftest_does(
    tmp_path: Path, conftest: str
) -> None:
    block = suite(tmp_path, conftest)
    assert (list(block.quads), block.lost) == ([FIRST, LONG, SHORT], {})
    assert_own_times(block)


def test_what_a_loop_prepares_and_wraps_is_there_for_the_tests(tmp_path: Path) -> None:
    conftest = """
        import pytest
        prepared = []
        @pytest.hookimpl(tryfirst=True)
        def pytest_runtestloop(session):
            prepared.append("prepared")

        class Plugin:
            @pytest.hookimpl(hookwrapper=True)
            def pytest_runtestloop(self, session):
                prepared.append("wrapped")
                yield
                prepared.clear()

        def pytest_configure(config):
            config.pluginmanager.register(Plugin())
        """
    first = """
        def test_first(benchmark):
            from conftest import prepared
            assert sorted(prepared) == ["prepared", "wrapped"]
            benchmark(int)
        """
    ini = "pythonpath = .\n"
    block = suite(tmp_path, conftest, first, ini)
    assert (list(block.quads), block.lost) == ([FIRST, LONG, SHORT], {})


def test_what_a_conftest_drops_after_all_others_is_not_collected(tmp_path: Path) -> None:
    conftest = """
        import os
        import pytest
        @pytest.hookimpl(trylast=True)
        def pytest_collection_modifyitems(items):
            if os.path.basename(os.getcwd()) == "candidate":
                items[:] = [item for item in items if item.name != "test_first"]
        """
    block = suite(tmp_path, conftest)
    assert list(block.quads) == [LONG, SHORT]
    assert (block.lost[FIRST].side, block.lost[FIRST].outcome) == ("candidate", "missing")


# Sessions that want to stop


FAILS = """
    def test_first(benchmark):
        assert not is_baseline(), "only there"
        benchmark(int)
    """
STOPS = {
    "exitfirst": ("", FAILS, "addopts = -x"),
    "maxfail": ("", FAILS, "addopts = --maxfail=1"),
    "shouldstop": (
        """
        def pytest_runtest_makereport(item, call):
            if call.excinfo is not None:
                item.session.shouldstop = "first failure"
        """,
        FAILS,
        "",
    ),
    "shouldfail": (
        """
        def pytest_runtest_logreport(report):
            if report.failed:
                session.shouldfail = "first failure"
        def pytest_sessionstart(session):
            globals()["session"] = session
        """,
        FAILS,
        "",
    ),
    "exit in a hook": (
        """
        import pytest
        def pytest_runtest_makereport(item, call):
            if call.excinfo is not None:
                pytest.exit("first failure")
        """,
        FAILS,
        "",
    ),
    "an error in a hook": (
        """
        def pytest_runtest_logreport(report):
            if report.failed:
                raise KeyError("only there")
        """,
        FAILS,
        "",
    ),
    "exit in a test": (
        "",
        """
        def test_first(benchmark):
            if is_baseline():
                pytest.exit("only there")
            benchmark(int)
        """,
        "",
    ),
    "an interrupt in a test": (
        "",
        """
        def test_first(benchmark):
            if is_baseline():
                raise KeyboardInterrupt("only there")
            benchmark(int)
        """,
        "",
    ),
}


@pytest.mark.parametrize(("conftest", "first", "ini"), STOPS.values(), ids=STOPS)
def test_what_fails_on_one_side_costs_nothing_else_whatever_stops(
    tmp_path: Path, conftest: str, first: str, ini: str
) -> None:
    block = suite(tmp_path, conftest, first, f"{ini}\n")
    assert (list(block.quads), list(block.lost)) == ([LONG, SHORT], [FIRST])
    loss = block.lost[FIRST]
    assert (loss.side, loss.phase, loss.outcome) == ("baseline", "call", "failed")
    assert_own_times(block)


def test_options_under_which_no_test_is_run_have_no_effect(tmp_path: Path) -> None:
    block = suite(tmp_path, ini="addopts = --collect-only --setup-only --setup-plan\n")
    assert (list(block.quads), block.lost) == ([FIRST, LONG, SHORT], {})


def test_a_session_fixture_outlives_a_failure(tmp_path: Path) -> None:
    tests = """
        import pytest
        made = []
        @pytest.fixture(scope="session")
        def data():
            made.append(1)
        def test_first(benchmark, data):
            raise AssertionError
        def test_once(benchmark, data):
            assert made == [1]
            benchmark(int)
        """
    sides = two_sides(tmp_path, test_a__py=tests, pytest__ini="[pytest]\naddopts = -x\n")
    assert list(block_of(sides, FIRST, "test_a.py::test_once").quads) == ["test_a.py::test_once"]


# Tests that are run again


RERUN = """
    from _pytest.runner import runtestprotocol
    LOG = {log}
    def pytest_runtest_protocol(item, nextitem):  # as rerun plugins do
        if item.name != "test_first":
            return None
        for attempt in range(3):
            reports = runtestprotocol(item, nextitem=nextitem, log=False)
            failed = any(report.failed for report in reports)
            if LOG or not failed:
                for report in reports:
                    if report.failed and attempt < 2:
                        report.outcome = "rerun"
                    item.ihook.pytest_runtest_logreport(report=report)
            if not failed:
                break
            item._initrequest()
        return True
    """
ATTEMPTS = """
    attempts = []
    def test_first(benchmark):
        attempts.append(1)
        {before}
        benchmark(int)
        {after}
    """


def attempts(*, before: str = "pass", after: str = "pass") -> str:
    return ATTEMPTS.format(before=before, after=after)


@pytest.mark.parametrize(
    ("first", "log"),
    [
        (attempts(before="assert len(attempts) > 1"), True),
        (attempts(after="assert len(attempts) > 1"), True),
        (attempts(after="assert len(attempts) > 1"), False),
        (attempts(before="assert len(attempts) > 1 or not is_baseline()"), True),
    ],
    ids=["before", "after", "silently", "on one side before it is timed"],
)
def test_the_last_attempt_at_a_test_counts(tmp_path: Path, first: str, *, log: bool) -> None:
    block = suite(tmp_path, RERUN.format(log=log), first)
    assert (list(block.quads), block.lost) == ([FIRST, LONG, SHORT], {})
    assert_own_times(block)


@pytest.mark.parametrize("log", [True, False])
def test_an_attempt_that_one_side_makes_alone_is_lost_there(tmp_path: Path, *, log: bool) -> None:
    first = attempts(after="assert len(attempts) > 1 or not is_baseline(), 'flaky'")
    block = suite(tmp_path, RERUN.format(log=log), first)
    assert (list(block.quads), list(block.lost)) == ([LONG, SHORT], [FIRST])
    loss = block.lost[FIRST]
    assert (loss.side, loss.phase, loss.outcome) == ("baseline", "call", "rerun")
    assert ("flaky" if log else "on one side only") in loss.text
    assert_own_times(block)


def test_a_test_that_fails_in_every_attempt_is_lost_as_failed(tmp_path: Path) -> None:
    first = attempts(after="assert is_baseline(), 'never'")
    block = suite(tmp_path, RERUN.format(log=True), first)
    assert list(block.quads) == [LONG, SHORT]
    assert (block.lost[FIRST].side, block.lost[FIRST].outcome) == ("candidate", "failed")


def test_a_test_that_is_passed_over_is_lost_and_nothing_shifts(tmp_path: Path) -> None:
    conftest = """
        def pytest_runtest_protocol(item):
            return True if item.name == "test_first" else None
        """
    block = suite(tmp_path, conftest)
    assert list(block.quads) == [LONG, SHORT]
    assert (block.lost[FIRST].side, block.lost[FIRST].outcome) == (None, "skipped")
    assert "passed over" in block.lost[FIRST].text
    assert_own_times(block)


def test_a_test_that_is_run_once_more_in_the_end_does_not_hold_up(tmp_path: Path) -> None:
    conftest = """
        def pytest_sessionfinish(session):
            for item in session.items[:1]:
                item._initrequest()
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        """
    assert list(suite(tmp_path, conftest).quads) == [FIRST, LONG, SHORT]


# Who is at fault


@pytest.mark.parametrize("calls", [1, 7, 700])
def test_what_fails_on_both_sides_at_some_call_is_lost_on_both(tmp_path: Path, calls: int) -> None:
    first = f"""
        def test_first(benchmark):
            calls = []
            def fail_later():
                calls.append(1)
                assert len(calls) != {calls}, "too often"
                sum(range(500))
            benchmark(fail_later)
        """
    block = suite(tmp_path, first=first)
    assert list(block.quads) == [LONG, SHORT]
    assert (block.lost[FIRST].side, block.lost[FIRST].outcome) == (None, "failed")


DEADLY = {
    "before": "def test_first(benchmark):\n    os._exit(0)\n",
    "in a call": "def test_first(benchmark):\n    benchmark(os._exit, 0)\n",
    "in the only call": "def test_first(benchmark):\n    benchmark.pedantic(os._exit, (0,))\n",
}


@pytest.mark.parametrize("first", DEADLY.values(), ids=DEADLY)
def test_what_ends_the_workers_of_both_sides_is_lost_on_both(tmp_path: Path, first: str) -> None:
    loss = suite(tmp_path, first=first).lost[FIRST]
    assert (loss.side, loss.phase, loss.outcome) == (None, "process", "crashed")
    assert loss.text.startswith("exit code 0")


# What a worker says


FOREIGN = {
    "no json": b"hello\\n",
    "a list": b"[]\\n",
    "another benchmark": b'{"kind": "Finished", "epoch": 1, "benchmark": "test_b"}\\n',
    "out of place": b'{"kind": "GarbageCollected", "epoch": 1}\\n',
    "the end": b'{"kind": "Bye", "epoch": 1, "status": 0, "text": ""}\\n',
}


@pytest.mark.parametrize("line", FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_message_is_that_workers_loss(tmp_path: Path, line: bytes) -> None:
    first = f"""
        def test_first(benchmark, request):
            plugin = request.config.pluginmanager.get_plugin("flopline-lockstep")
            if not is_baseline():
                os.write(plugin.link.writing, {line!r})
            benchmark(int)
        """.replace("\\\\n", "\\n")
    block = suite(tmp_path, first=first)
    assert block.quads == {}
    loss = block.lost[FIRST]
    assert (loss.side, loss.phase, loss.outcome) == ("candidate", "process", "crashed")
    assert {block.lost[name].outcome for name in (LONG, SHORT)} == {"stopped"}


@pytest.mark.parametrize("place", ["before", "between", "after"])
def test_a_child_that_returns_into_pytest_does_not_speak_for_it(tmp_path: Path, place: str) -> None:
    lines = {
        "before": "os.fork(); benchmark(int)",
        "between": "benchmark.pedantic(os.fork)",
        "after": "benchmark(int); os.fork()",
    }
    first = f"def test_first(benchmark):\n    {lines[place]}\n"
    block = suite(tmp_path, first=first)
    assert (list(block.quads), block.lost) == ([FIRST, LONG, SHORT], {})
    assert_own_times(block)


def test_readings_that_were_made_smaller_are_refused(tmp_path: Path) -> None:
    conftest = """
        import os, sys
        def pytest_sessionstart():
            if os.path.basename(os.getcwd()) == "baseline":
                return
            meter = sys.modules["flopline_worker.meter"].Meter
            original = meter.reading
            def reading(self, *facts):
                true = original(self, *facts)
                wall, cpu, process = (seconds / 5 for seconds in true[1:4])
                return true._replace(wall=wall, cpu=cpu, process=process)
            meter.reading = reading
        """
    # A worker that had to wait is not judged, which happens on a busy machine.
    for attempt in range(5):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        lost = suite(folder, conftest).lost
        if LONG in lost:
            break
    loss = lost[LONG]
    assert (loss.side, loss.phase, loss.outcome) == ("candidate", "call", "implausible")
    assert "something changes its clocks or readings" in loss.text


# Which tests are benchmarks


def test_benchmarks_are_seen_however_they_get_the_fixture(tmp_path: Path) -> None:
    tests = """
        import unittest
        import pytest

        def test_asks(request):
            request.getfixturevalue("benchmark")(int)

        def test_asks_for_another(request):
            request.getfixturevalue("tmp_path")

        class TestOldStyle(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def keep(self, benchmark):
                self.benchmark = benchmark
            def test_method(self):
                self.benchmark(int)

        def test_in_a_thread(benchmark):
            import threading
            thread = threading.Thread(target=benchmark, args=(int,))
            thread.start()
            thread.join()

        def test_twice(benchmark):
            benchmark(int)
            benchmark(int)
        """
    sides = two_sides(tmp_path, test_a__py=tests)
    for side in list_benchmarks(sides, LIGHT):
        names = [name.removeprefix("test_a.py::") for name in side.items]
        assert names == [
            "test_asks",
            "TestOldStyle::test_method",
            "test_in_a_thread",
            "test_twice",
        ]
    block = block_of(sides, *side.items)
    assert list(block.quads) == list(side.items)[:3]
    assert block.lost["test_a.py::test_twice"].outcome == "failed"


def test_several_tests_of_one_name_are_named_and_not_measured(tmp_path: Path) -> None:
    conftest = """
        import pytest
        def pytest_pycollect_makeitem(collector, name, obj):
            if name in ("test_first", "test_long"):
                return pytest.Function.from_parent(collector, name="test_same", callobj=obj)
        """
    tests = textwrap.dedent(BENCHMARKS) + textwrap.dedent(FIRST_PASSES)
    for side in list_benchmarks(
        two_sides(tmp_path, test_a__py=tests, conftest__py=conftest), LIGHT
    ):
        assert list(side.items) == [SHORT]
        assert [error.file for error in side.errors] == ["test_a.py::test_same"]
        assert "several tests have this name" in side.errors[0].text


def test_calls_are_counted_under_their_own_name(tmp_path: Path) -> None:
    tests = textwrap.dedent(BENCHMARKS) + textwrap.dedent(
        """
        def test_first(benchmark):
            benchmark(lambda: len(""))
        """
    )
    conftest = ORDERS["sorted after all others"]
    sides = two_sides(tmp_path, test_a__py=tests, conftest__py=conftest)
    counted = Counted()
    CountingPair(*sides, LIGHT).count(dict.fromkeys([FIRST, LONG], (CountCalls(),)), counted)
    for name, functions in ((FIRST, ["len"]), (LONG, [])):
        for (sites,) in counted.sites[name].values():
            assert [site.function for site in sites if site.function != "range"] == functions
