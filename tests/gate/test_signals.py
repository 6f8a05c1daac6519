"""Signals wait until a process has been started or ended; a program ends in order."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from flopline.gate.signals import HELD_BACK, held_back

if TYPE_CHECKING:
    from collections.abc import Iterator


class TerminatedError(Exception):
    """SIGTERM or SIGHUP has arrived."""


@pytest.fixture(autouse=True)
def handlers() -> Iterator[list[Any]]:
    """Handlers that raise errors, as those of a program that cleans up when it is told to end."""

    def terminate(number: int, _: object) -> None:
        raise TerminatedError(number)

    before = {number: signal.getsignal(number) for number in HELD_BACK}
    signal.signal(signal.SIGTERM, terminate)
    signal.signal(signal.SIGHUP, terminate)
    yield [signal.default_int_handler, terminate, terminate]
    for number, handler in before.items():
        signal.signal(number, handler)


def present() -> list[Any]:
    return [signal.getsignal(number) for number in HELD_BACK]


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (signal.SIGINT, KeyboardInterrupt),
        (signal.SIGTERM, TerminatedError),
        (signal.SIGHUP, TerminatedError),
    ],
)
def test_a_signal_arrives_when_the_block_is_done(
    handlers: list[Any], number: signal.Signals, error: type[BaseException]
) -> None:
    steps = []

    @held_back()
    def start() -> None:
        signal.raise_signal(number)
        steps.append("after the signal")

    with pytest.raises(error):
        start()
    assert steps == ["after the signal"]
    assert present() == handlers


def test_a_signal_arrives_even_if_the_block_fails(handlers: list[Any]) -> None:
    @held_back()
    def fail() -> None:
        signal.raise_signal(signal.SIGINT)
        raise ValueError("the process could not be started")

    with pytest.raises(KeyboardInterrupt) as caught:
        fail()
    assert isinstance(caught.value.__context__, ValueError)
    assert present() == handlers


@pytest.mark.parametrize("number", HELD_BACK)
@pytest.mark.parametrize("when", ["before", "after"])
def test_no_handler_stays_replaced_whenever_signals_arrive(
    handlers: list[Any], monkeypatch: pytest.MonkeyPatch, number: signal.Signals, when: str
) -> None:
    replace = signal.signal

    def interrupted(changed: int, handler: Any) -> Any:  # noqa: ANN401  # as signal.signal
        if when == "before":
            signal.raise_signal(number)
        replaced = replace(changed, handler)
        if when == "after":
            signal.raise_signal(number)
        return replaced

    monkeypatch.setattr(signal, "signal", interrupted)
    with contextlib.suppress(KeyboardInterrupt, TerminatedError), held_back():
        pass
    assert present() == handlers


def test_blocks_inside_each_other_hold_signals_until_the_outermost_ends(
    handlers: list[Any],
) -> None:
    steps = []

    @held_back()
    def start() -> None:
        with held_back():
            signal.raise_signal(signal.SIGINT)
        steps.append("after the inner block")

    with pytest.raises(KeyboardInterrupt):
        start()
    assert steps == ["after the inner block"]
    assert present() == handlers


def test_other_threads_leave_the_handlers_alone(handlers: list[Any]) -> None:
    seen = []

    def look() -> None:
        with held_back():
            seen.append(present())

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [handlers]


ENDING = """
import os, sys, time
from flopline.gate import signals
signals.HURRY_SECONDS = 0.5
interruption = signals.end_in_order()
try:
    print("ready", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    time.sleep(float(sys.argv[1]))
    print("in order", flush=True)
    sys.exit(2)
"""


def end(shutdown: float, *numbers: int, ignored: int | None = None) -> tuple[int, list[str]]:
    """Runs a program that takes a while to end, and sends it signals; its exit code and words."""
    ignore = f"import signal; signal.signal({ignored}, signal.SIG_IGN)\n" if ignored else ""
    program = [sys.executable, "-c", ignore + ENDING, str(shutdown)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        words = [process.stdout.readline().strip()]
        for number in numbers:
            process.send_signal(number)
            time.sleep(0.05)
        words += process.stdout.read().split("\n")[:-1]
    return process.returncode, words


@pytest.mark.parametrize("number", HELD_BACK)
def test_the_first_signal_ends_in_order_and_more_do_not_disturb_that(
    number: signal.Signals,
) -> None:
    whole = ["ready", "interrupted", "in order"]
    assert end(0.0, number) == (2, whole)
    assert end(0.3, number, number, signal.SIGINT, signal.SIGTERM) == (2, whole)


def test_a_second_signal_limits_the_time_of_a_shutdown_that_would_never_end() -> None:
    assert end(60.0, signal.SIGINT, signal.SIGTERM) == (2, ["ready", "interrupted"])


def test_a_signal_that_was_ignored_from_the_start_stays_ignored() -> None:
    numbers = (signal.SIGHUP, signal.SIGTERM)
    words = ["ready", "interrupted", "in order"]
    assert end(0.0, *numbers, ignored=signal.SIGHUP) == (2, words)
