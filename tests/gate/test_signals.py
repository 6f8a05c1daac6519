"""Signals wait until a process has been started or ended; a program ends in order."""

from __future__ import annotations

import contextlib
import signal
import threading
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
