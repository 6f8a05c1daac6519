from __future__ import annotations

import dataclasses

import pytest

from flopline.gate.measure.worker.flopline_worker import protocol
from flopline.gate.measure.worker.flopline_worker.protocol import (
    CallSite,
    CollectedBenchmark,
    CollectionError,
    LoadedFile,
    Message,
    Reading,
    from_line,
)
from flopline.gate.record import Batch

MESSAGES = [
    protocol.Hello(python="3.11.7", randomised=False, packages={"pytest": "9.0"}),
    protocol.Conflict("xdist"),
    protocol.Collection(
        [CollectedBenchmark("test_a.py::test_ü[x y]", "test_a.py", "0123")],
        [CollectionError("test_b.py", "No module\nof this name")],
    ),
    protocol.Entered("test_a.py::test_a"),
    protocol.Ready(allowed_rounds=None),
    protocol.BatchSize(rounds=20, used=7, slow=True),
    protocol.GarbageCollected(),
    protocol.Times([Reading(3, 1e-3, 2e-3, 3e-3, 0, 1), Reading(3, 1.0, 2.0, 3.0, 1, 0, 0.5)]),
    protocol.Calls([CallSite("len", "/a/b.py", 7, 3, 0.25)]),
    protocol.NotPassed("call", "failed", "two\nlines"),
    protocol.Finished("test_a.py::test_a"),
    protocol.Loaded([LoadedFile("/a/ü.py", "ü", "0123"), LoadedFile("/b/x.py", "", "")]),
    protocol.Bye(status=4, text=""),
    protocol.Order(["test_a.py::test_a"], own="/a", others=["/b"]),
    protocol.Pin([0, 3]),
    protocol.SizeBatch(seconds=1e-3, at_most=None),
    protocol.CollectGarbage(),
    protocol.TakeTurns(rounds=5, mine=[True, False]),
    protocol.CountCalls(),
    protocol.Stop(),
    protocol.Abort(),
]


def name(message: Message) -> str:
    return type(message).__name__


@pytest.mark.parametrize("message", MESSAGES, ids=name)
def test_a_message_is_one_line_that_gives_it_back(message: Message) -> None:
    line = message.to_line(epoch=7)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert from_line(line) == (7, message)


def test_every_kind_of_message_was_tried() -> None:
    assert {name(message) for message in MESSAGES} == set(protocol.KINDS)


@pytest.mark.parametrize(
    ("line", "error"),
    [(b"not json\n", ValueError), (b"{}\n", KeyError), (b'{"kind": "Unheard"}\n', KeyError)],
)
def test_a_malformed_line_is_an_error(line: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        from_line(line)


def test_a_reading_has_the_attributes_of_a_batch() -> None:
    assert list(Reading._fields) == [field.name for field in dataclasses.fields(Batch)]
