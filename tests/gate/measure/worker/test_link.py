from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from flopline.gate.measure.worker.flopline_worker.link import PIPES_CLOSED, move_up
from flopline.gate.measure.worker.flopline_worker.protocol import Abort, NotPassed, Pin, Stop

if TYPE_CHECKING:
    from tests.gate.measure.support.desks import Desk


def test_every_message_carries_its_epoch(desk: Desk) -> None:
    desk.link.epoch = 7
    message = NotPassed("call", "failed", "two\nlines, ü")
    desk.link.send(message)
    assert desk.sent_with_epochs() == [(7, message)]


def test_a_message_larger_than_a_pipe_arrives_whole(desk: Desk) -> None:
    message = NotPassed("call", "failed", "x" * 200_000)
    sender = threading.Thread(target=desk.link.send, args=(message,), daemon=True)
    sender.start()
    received = b""
    while not received.endswith(b"\n"):
        received += os.read(desk.messages, 1 << 20)
    sender.join(20)
    assert received == message.to_line(0)


def test_commands_of_another_epoch_are_dropped(desk: Desk) -> None:
    desk.link.epoch = 3
    desk.send(Stop(), epoch=2)
    desk.send(Abort(), epoch=4)
    desk.send(Pin([1]), epoch=3)
    assert desk.link.receive() == Pin([1])


@pytest.mark.parametrize("more", [True, False])
def test_tokens_of_other_turns_are_dropped(desks: tuple[Desk, Desk], *, more: bool) -> None:
    mine, peer = (desk.link for desk in desks)
    mine.series = 3
    for peer.series, peer_continues in ((2, False), (2, True), (3, more)):
        peer.hand_over(more=peer_continues)
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
    program = """
import os
from flopline.gate.measure.worker.flopline_worker.link import Link
commands, coordinator = os.pipe()
link = Link(commands, os.pipe()[1], *os.pipe())
os.close(coordinator)
link.receive()
print("went on")
"""
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, b"", b"")


def test_pipes_lie_where_a_test_that_closes_descriptors_misses_them() -> None:
    pipe = os.pipe()
    low = [os.dup(end) for end in pipe]
    moved = move_up([*low, low[0]])
    try:
        assert min(moved) >= 900
        assert len(set(moved)) == 3
        os.write(moved[1], b"through")
        assert os.read(moved[2], 10) == b"through"
        for descriptor in low:
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(descriptor)
    finally:
        for descriptor in (*pipe, *moved):
            os.close(descriptor)


def test_few_descriptors_are_enough() -> None:
    program = """
import os, resource
from flopline.gate.measure.worker.flopline_worker.link import move_up
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
print(*move_up(os.pipe()))
"""
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, capture_output=True, check=True, timeout=60)
    assert ended.stdout == b"48 49\n"


def test_a_worker_whose_pipes_a_test_closed_ends_at_once() -> None:
    program = """
import os
from flopline.gate.measure.worker.flopline_worker.link import Link, move_up
from flopline.gate.measure.worker.flopline_worker.protocol import Stop
link = Link(*move_up([*os.pipe(), *os.pipe()]))
os.closerange(3, 2000)
link.send(Stop())
print("went on")
"""
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (PIPES_CLOSED, b"", b"")
