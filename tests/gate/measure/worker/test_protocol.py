from __future__ import annotations

import contextlib
import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopline.gate.measure.worker.flopline_worker import protocol
from flopline.gate.measure.worker.flopline_worker.protocol import (
    CallSite,
    CollectedBenchmark,
    CollectionError,
    LoadedFile,
    Message,
    MessageError,
    Reading,
    from_line,
)
from flopline.gate.record import Batch

MESSAGES = [
    protocol.Hello(python="3.11.7", randomised=False, packages={"pytest": "9.0"}),
    protocol.Collection(
        [CollectedBenchmark("test_a.py::test_ü[x y]", "test_a.py", "0123")],
        [CollectionError("test_b.py", "No module\nof this name")],
    ),
    protocol.Entered("test_a.py::test_a"),
    protocol.Ready(allowed_rounds=None),
    protocol.BatchSize(rounds=20, used=7, slow=True),
    protocol.BatchSize(20, 7, slow=False, last=Reading(5, 1e-3, 2e-3, 3e-3, 0, 1, None, 0.25)),
    protocol.GarbageCollected(),
    protocol.Times([Reading(3, 1e-3, 2e-3, 3e-3, 0, 1), Reading(3, 1.0, 2.0, 3.0, 1, 0, 0.5)]),
    protocol.Calls([CallSite("len", "/a/b.py", 7, 3, 0.25)]),
    protocol.CallSum(9236),
    protocol.NotPassed("call", "failed", "two\nlines"),
    protocol.Finished("test_a.py::test_a"),
    protocol.Loaded([LoadedFile("/a/ü.py", "ü", "0123"), LoadedFile("/b/x.py", "", "")]),
    protocol.Imported(["numpy", "numpy.random"], ["subject"], ["pytest_benchmark"]),
    protocol.Bye(status=4, text=""),
    protocol.Order(["test_a.py::test_a"], own="/a", others=["/b"]),
    protocol.Pin([0, 3]),
    protocol.SizeBatch(seconds=1e-3, at_most=None),
    protocol.CollectGarbage(),
    protocol.TakeTurns(rounds=5, mine=[True, False]),
    protocol.CountCalls(),
    protocol.SumCalls(),
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


def times(**reading: object) -> bytes:
    """A line with one batch, of which some values are given."""
    values = Reading(3, 1e-3, 2e-3, 3e-3, 0, 1)._asdict() | reading
    return json.dumps({"kind": "Times", "epoch": 1, "batches": [list(values.values())]}).encode()


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b"\xff\xfe",
        b"{}",
        b"[]",
        b"7",
        b"null",
        b"[" * 100_000,
        b'{"kind": "Unheard", "epoch": 0}',
        b'{"kind": ["Stop"], "epoch": 0}',
        b'{"kind": "Stop"}',
        b'{"kind": "Stop", "epoch": "0"}',
        b'{"kind": "Stop", "epoch": -1}',
        b'{"kind": "Stop", "epoch": 0, "more": 1}',
        b'{"kind": "Ready", "epoch": 0}',
        b'{"kind": "Ready", "epoch": 0, "allowed_rounds": true}',
        b'{"kind": "Ready", "epoch": 0, "allowed_rounds": "3"}',
        b'{"kind": "Ready", "epoch": 0, "allowed_rounds": ' + b"9" * 5000 + b"}",
        b'{"kind": "Hello", "epoch": 0, "python": "3", "randomised": 0, "packages": {}}',
        b'{"kind": "Hello", "epoch": 0, "python": "3", "randomised": false, "packages": {"a": 1}}',
        b'{"kind": "NotPassed", "epoch": 0, "phase": "call", "outcome": "ill", "text": ""}',
        b'{"kind": "NotPassed", "epoch": 0, "phase": [], "outcome": "failed", "text": ""}',
        b'{"kind": "Collection", "epoch": 0, "benchmarks": [["a"]], "errors": []}',
        b'{"kind": "Collection", "epoch": 0, "benchmarks": {}, "errors": []}',
        b'{"kind": "Times", "epoch": 0, "batches": [7]}',
        times(calls=0),
        times(calls=1.5),
        times(wall=-1e-3),
        times(wall=None),
        times(cpu=math.nan),
        times(process=math.inf),
        times(cpu=10**400),
        times(voluntary=-1),
        times(voluntary=10**400),
        times(wall=1e300),
        times(children=math.nan),
        times(timer="1"),
        times(children=-1e-3),
        times(children=None),
    ],
)
def test_a_malformed_line_is_an_error(line: bytes) -> None:
    with pytest.raises(MessageError):
        from_line(line)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists))
def test_no_value_of_a_field_gets_further_than_the_message(value: object) -> None:
    for kind in protocol.KINDS:
        line = json.dumps({"kind": kind, "epoch": 0, "batches": value, "text": value})
        with contextlib.suppress(MessageError):
            from_line(line.encode())


def test_a_reading_has_the_attributes_of_a_batch() -> None:
    assert list(Reading._fields) == [field.name for field in dataclasses.fields(Batch)]
