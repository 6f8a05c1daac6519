from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_benchmark.fixture import BenchmarkFixture

from flopline.gate.measure.worker import __main__ as worker
from flopline.gate.measure.worker.__main__ import (
    Link,
    Meter,
    calibrate,
    conflicts,
    pin,
    reason,
    serve,
    source,
    spin,
    take_turns,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flopline.gate.measure.worker.__main__ import Message


class Desk:
    """A worker's link, and what coordinator and peer hold of it."""

    def __init__(self, to_peer: tuple[int, int], from_peer: tuple[int, int]) -> None:
        commands, self.commands = os.pipe()
        self.messages, messages = os.pipe()
        self.from_peer = from_peer[1]  # where a peer would write
        self.link = Link(commands, messages, from_peer[0], to_peer[1])

    def tell(self, **command: object) -> None:
        os.write(self.commands, json.dumps(command).encode() + b"\n")

    def said(self) -> list[Message]:
        """What the worker said since the last look."""
        os.set_blocking(self.messages, False)
        with contextlib.suppress(BlockingIOError):
            return [json.loads(line) for line in os.read(self.messages, 1 << 20).splitlines()]
        return []

    def close(self) -> None:
        self.link.reading.close()
        for descriptor in (self.commands, self.messages, self.link.writing):
            os.close(descriptor)


@pytest.fixture
def desks() -> Iterator[tuple[Desk, Desk]]:
    """Two links that are each other's peers."""
    forth, back = os.pipe(), os.pipe()
    both = Desk(forth, back), Desk(back, forth)
    yield both
    for desk in both:
        desk.close()
    for descriptor in (*forth, *back):
        os.close(descriptor)


@pytest.fixture
def desk(desks: tuple[Desk, Desk]) -> Desk:
    return desks[0]


def nothing(rounds: int) -> Message:
    return {"wall": rounds * 1e-6, "rounds": rounds}


def never() -> Callable[[], object]:
    raise AssertionError("not to be profiled")


# Messages


def test_every_message_carries_its_epoch_and_is_one_line(desk: Desk) -> None:
    desk.link.epoch = 7
    desk.link.say("report", text="two\nlines, ü")
    assert desk.said() == [{"say": "report", "epoch": 7, "text": "two\nlines, ü"}]


def test_commands_of_another_epoch_are_dropped(desk: Desk) -> None:
    desk.link.epoch = 3
    for epoch in (2, 4, 3):
        desk.tell(do=f"of {epoch}", epoch=epoch)
    desk.tell(do="of any")
    assert [desk.link.hear()["do"] for _ in range(2)] == ["of 3", "of any"]


@pytest.mark.parametrize(("kind", "more"), [(b".", True), (b"!", False)])
def test_tokens_of_another_epoch_are_dropped(
    desks: tuple[Desk, Desk], kind: bytes, *, more: bool
) -> None:
    mine, peer = (desk.link for desk in desks)
    mine.epoch = 3
    for peer.epoch, token in ((2, b"!"), (2, b"."), (3, kind)):
        peer.hand_over(token)
    assert mine.wait() is more


def test_there_are_no_more_turns_when_the_peer_is_gone(desk: Desk) -> None:
    reading, writing = os.pipe()
    os.close(writing)
    desk.link.peer_reading = reading
    assert not desk.link.wait()
    os.close(reading)


def test_a_program_that_a_test_starts_does_not_inherit_the_pipes(desk: Desk) -> None:
    link = desk.link
    for descriptor in (link.reading.fileno(), link.writing, link.peer_reading, link.peer_writing):
        assert not os.get_inheritable(descriptor)


def test_a_worker_ends_when_its_coordinator_is_gone() -> None:
    program = "import os; from flopline.gate.worker import Link; a, b = os.pipe(); c, d = os.pipe(); os.close(b); "
    program += "Link(a, d, *os.pipe()).hear(); print('went on')"
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=False, timeout=60
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, b"", b"")


# Turns


def test_turns_are_taken_in_the_order_that_was_asked_for(desks: tuple[Desk, Desk]) -> None:
    order = [0, 1, 1, 0, 1, 0, 0, 1, 1, 0, 0, 1]
    taken: list[int] = []
    found: list[list[Message]] = [[], []]

    def play(slot: int) -> None:
        def batch(rounds: int) -> Message:
            taken.append(slot)
            return nothing(rounds)

        found[slot] = take_turns(desks[slot].link, batch, 5, [own == slot for own in order])

    players = [threading.Thread(target=play, args=(slot,), daemon=True) for slot in (1, 0)]
    for player in players:
        player.start()
    for player in players:
        player.join(20)
    assert taken == order
    assert found == [[nothing(5)] * 6, [nothing(5)] * 6]


def test_a_failing_batch_ends_the_turns_of_both(desks: tuple[Desk, Desk]) -> None:
    def fail(_: int) -> Message:
        raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        take_turns(desks[0].link, fail, 1, [True, False, True, False])
    assert take_turns(desks[1].link, nothing, 1, [False, True, False, True]) == []


# Commands


@pytest.mark.parametrize("do", ["stop", "abort", "order", "unheard of"])
def test_serving_ends_with_the_first_command_it_does_not_know(desk: Desk, do: str) -> None:
    desk.tell(do="turns", rounds=2, mine=[True, True])
    desk.tell(do=do, more=1)
    assert serve(desk.link, nothing, never) == {"do": do, "more": 1}
    assert desk.said() == [{"say": "times", "epoch": 0, "batches": [nothing(2), nothing(2)]}]


@pytest.mark.parametrize(("line", "error"), [(b"not json\n", ValueError), (b"{}\n", KeyError)])
def test_serving_ends_with_an_error_where_a_command_is_malformed(
    desk: Desk, line: bytes, error: type[Exception]
) -> None:
    os.write(desk.commands, line)
    with pytest.raises(error):
        serve(desk.link, nothing, never)


def test_a_side_that_may_not_calibrate_makes_no_call(desk: Desk) -> None:
    desk.tell(do="calibrate", seconds=1.0, most=0)
    desk.tell(do="stop")
    serve(desk.link, lambda _: pytest.fail("called"), never)
    (message,) = desk.said()
    assert (message["say"], message["rounds"], message["used"]) == ("calibrated", 1, 0)


def test_a_profile_counts_the_calls_of_one_call(desk: Desk) -> None:
    desk.tell(do="profile")
    desk.tell(do="stop")
    serve(desk.link, nothing, lambda: lambda: [abs(i) for i in (-1, -2, -3)])
    (message,) = desk.said()
    assert message["say"] == "profile"
    assert ("abs", 3) in [(function, calls) for function, _, _, calls, _ in message["sites"]]


def test_pinning_moves_every_thread() -> None:
    before = os.sched_getaffinity(0)
    stop = threading.Event()
    helper = threading.Thread(target=stop.wait, args=(20,))
    helper.start()
    try:
        pin([min(before)])
        assert {
            frozenset(os.sched_getaffinity(thread)) for thread in (0, helper.native_id or 0)
        } == {frozenset({min(before)})}
    finally:
        pin(sorted(before))
        stop.set()
        helper.join()
    assert os.sched_getaffinity(0) == before


# Batches


@given(
    per_call=st.floats(1e-7, 10.0),
    overhead=st.floats(0, 1e-3),
    first=st.floats(0, 1.0),
    seconds=st.floats(1e-5, 1e-2),
    most=st.integers(1, 1000) | st.just(math.inf),
)
def test_calibration_gives_a_round_at_least_and_uses_no_more_than_allowed(
    per_call: float, overhead: float, first: float, seconds: float, most: float
) -> None:
    made: list[int] = []

    def batch(rounds: int) -> Message:
        made.append(rounds)
        return {"wall": rounds * per_call + overhead + (first if len(made) == 1 else 0)}

    rounds, used = calibrate(batch, seconds, most)
    assert rounds >= 1
    assert min(made) >= 1
    assert used == sum(made) <= most
    assert (rounds - 0.5) * per_call <= seconds or rounds == 1


@pytest.mark.parametrize("per_call", [1e-7, 1e-6, 1e-5, 1e-4])
def test_calibration_finds_how_many_rounds_fill_a_batch(per_call: float) -> None:
    rounds, _ = calibrate(lambda n: {"wall": n * per_call}, 1e-3, math.inf)
    assert rounds == pytest.approx(1e-3 / per_call, rel=0.01)


def test_a_slow_first_call_does_not_decide_alone() -> None:
    walls = iter([0.01, 1e-6])
    assert calibrate(lambda _: {"wall": next(walls)}, 1e-3, 2) == (1000, 2)


def test_a_call_that_takes_long_is_not_repeated_to_calibrate() -> None:
    def batch(_: int) -> Message:
        time.sleep(0.06)
        return {"wall": 0.06}

    assert calibrate(batch, 1e-3, math.inf) == (1, 1)


def test_a_batch_of_the_canary_is_all_of_its_calls_and_all_in_its_own_thread() -> None:
    few, many = (min(spin(calls)["cpu"] for _ in range(5)) for calls in (20, 200))
    assert 3 < many / few < 30
    found = spin(20)
    assert (found["calls"], found["timer"]) == (20, None)
    assert found["wall"] > 0
    assert set(found) == {"calls", "wall", "cpu", "process", "voluntary", "involuntary", "timer"}


def test_a_meter_sums_over_its_pieces_and_stands_still_between_them() -> None:
    meter = Meter()
    with meter:
        spin(10)
    before = meter.facts(1, None)
    spin(10)
    assert meter.facts(1, None) == before
    with meter:
        spin(10)
    after = meter.facts(1, None)
    assert after["cpu"] > before["cpu"]
    assert after["wall"] > before["wall"]
    assert meter.facts(4, 0.5)["timer"] == 0.5


def test_a_meter_sees_sleep_on_the_wall_clock_and_among_the_switches_only() -> None:
    meter = Meter()
    with meter:
        threading.Event().wait(0.05)
    found = meter.facts(1, None)
    assert found["wall"] >= 0.04
    assert found["cpu"] < found["wall"] / 2
    assert found["voluntary"] >= 1


# pytest and pytest-benchmark


@pytest.fixture
def unpatched(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Puts pytest-benchmark's own methods back afterwards."""
    for name in ("_raw", "_raw_pedantic"):
        monkeypatch.setattr(BenchmarkFixture, name, getattr(BenchmarkFixture, name))
    return monkeypatch


@pytest.mark.parametrize("name", ["_raw", "_raw_pedantic"])
def test_methods_with_unknown_parameters_are_refused_by_name_and_left_alone(
    desk: Desk, unpatched: pytest.MonkeyPatch, name: str
) -> None:
    def unknown(self: Any, function: Any, often: int) -> None:  # noqa: ANN401  # any object
        raise AssertionError((self, function, often))

    unpatched.setattr(BenchmarkFixture, name, unknown)
    before = BenchmarkFixture._raw, BenchmarkFixture._raw_pedantic  # noqa: SLF001  # the seam
    with pytest.raises(
        RuntimeError, match=rf"not supported: .*\.{name} has .*\('self', 'function', 'often'\)"
    ):
        worker.patch(desk.link)
    assert (BenchmarkFixture._raw, BenchmarkFixture._raw_pedantic) == before  # noqa: SLF001


def test_the_parameters_of_every_supported_version_are_accepted(
    desk: Desk, unpatched: pytest.MonkeyPatch
) -> None:
    def until_5_1(  # as it was
        self: Any,  # noqa: ANN401
        target: Any,  # noqa: ANN401
        args: Any = (),  # noqa: ANN401
        kwargs: Any = None,  # noqa: ANN401
        setup: Any = None,  # noqa: ANN401
        rounds: int = 1,
        warmup_rounds: int = 0,
        iterations: int = 1,
    ) -> None:
        raise AssertionError((self, target, args, kwargs, setup, rounds, warmup_rounds, iterations))

    installed = BenchmarkFixture._raw, BenchmarkFixture._raw_pedantic  # noqa: SLF001
    worker.patch(desk.link)
    assert BenchmarkFixture._raw is not installed[0]  # noqa: SLF001
    assert BenchmarkFixture._raw_pedantic is not installed[1]  # noqa: SLF001
    unpatched.setattr(BenchmarkFixture, "_raw", installed[0])
    unpatched.setattr(BenchmarkFixture, "_raw_pedantic", until_5_1)
    worker.patch(desk.link)
    assert BenchmarkFixture._raw_pedantic.__name__ == "pedantic"  # noqa: SLF001


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, set()),
        ({"numprocesses": None, "dist": "no", "benchmark_skip": False}, set()),
        ({"numprocesses": 2}, {"xdist"}),
        ({"numprocesses": 0, "dist": "load"}, {"xdist"}),
        ({"benchmark_skip": True}, {"--benchmark-skip"}),
    ],
)
def test_conflicts_are_the_settings_under_which_nothing_is_timed(
    options: dict[str, object], expected: set[str]
) -> None:
    found = conflicts(SimpleNamespace(option=SimpleNamespace(**options)))
    assert {name for name, active in found.items() if active} == expected


def test_the_hash_of_a_source_is_that_of_the_function_and_empty_where_there_is_none() -> None:
    found = {source(SimpleNamespace(function=function)) for function in (nothing, never)}
    assert {len(text) for text in found} == {16}
    assert len(found) == 2
    assert source(SimpleNamespace(function=len)) == source(SimpleNamespace()) == ""


def test_a_reason_is_the_end_of_a_long_text_or_the_reason_of_a_skip() -> None:
    assert (
        reason(SimpleNamespace(longrepr=("file.py", 3, "Skipped: not today")))
        == "Skipped: not today"
    )
    assert reason(SimpleNamespace(longrepr="x" * 5000 + "the end")).endswith("xthe end")
    assert len(reason(SimpleNamespace(longrepr="x" * 5000))) == 4000


def test_the_worker_stands_alone() -> None:
    program = f"import runpy, sys; runpy.run_path({worker.__file__!r}); print(sorted(sys.modules))"
    ended = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True
    )
    assert "flopline" not in ended.stdout
    assert "pytest" not in ended.stdout
    assert Path(worker.__file__).parent.name == "worker"
