from __future__ import annotations

import gc
import os
import threading
from typing import TYPE_CHECKING

import pytest

from flopline.gate.measure.worker.flopline_worker.protocol import (
    Abort,
    BatchSize,
    Calls,
    CollectGarbage,
    CountCalls,
    GarbageCollected,
    Message,
    MessageError,
    Order,
    Pin,
    Reading,
    SizeBatch,
    Stop,
    TakeTurns,
    Times,
)
from flopline.gate.measure.worker.flopline_worker.turns import serve, take_turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.gate.measure.support.desks import Desk


def batch(rounds: int) -> Reading:
    """A batch that takes no time."""
    return Reading(rounds, rounds * 1e-6, rounds * 1e-6, rounds * 1e-6, 0, 0)


def never() -> Callable[[], object]:
    raise AssertionError("its calls must not be counted")


def test_turns_are_taken_in_the_order_that_was_requested(desks: tuple[Desk, Desk]) -> None:
    order = [0, 1, 1, 0, 1, 0, 0, 1, 1, 0, 0, 1]
    taken: list[int] = []
    results: list[list[Reading]] = [[], []]

    def play(slot: int) -> None:
        def noted(rounds: int) -> Reading:
            taken.append(slot)
            return batch(rounds)

        mine = [turn == slot for turn in order]
        results[slot] = take_turns(desks[slot].link, noted, 5, mine)

    players = [threading.Thread(target=play, args=(slot,), daemon=True) for slot in (1, 0)]
    for player in players:
        player.start()
    for player in players:
        player.join(20)
    assert taken == order
    assert results == [[batch(5)] * 6, [batch(5)] * 6]


def test_a_failing_batch_ends_the_turns_of_both(desks: tuple[Desk, Desk]) -> None:
    def fail(_: int) -> Reading:
        raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        take_turns(desks[0].link, fail, 1, [True, False, True, False])
    assert take_turns(desks[1].link, batch, 1, [False, True, False, True]) == []


@pytest.mark.parametrize("last", [Stop(), Abort(), Order(["test_a"])])
def test_serving_ends_with_the_first_command_that_ends_it(desk: Desk, last: Message) -> None:
    desk.send(TakeTurns(2, [True, True]), last)
    assert serve(desk.link, batch, never) == last
    assert desk.sent() == [Times([batch(2), batch(2)])]


@pytest.mark.parametrize("line", [b"not json\n", b"{}\n"])
def test_serving_ends_with_an_error_where_a_command_is_malformed(desk: Desk, line: bytes) -> None:
    os.write(desk.commands, line)
    with pytest.raises(MessageError):
        serve(desk.link, batch, never)


def test_a_side_that_may_not_size_a_batch_makes_no_call(desk: Desk) -> None:
    desk.send(SizeBatch(seconds=1.0, at_most=0), Stop())
    serve(desk.link, lambda _: pytest.fail("called"), never)
    assert desk.sent() == [BatchSize(rounds=1, used=0, slow=False)]


def test_a_batch_is_sized_with_as_many_rounds_as_it_takes(desk: Desk) -> None:
    desk.send(SizeBatch(seconds=1e-3, at_most=None), Stop())
    serve(desk.link, batch, never)
    (size,) = desk.sent()
    assert isinstance(size, BatchSize)
    assert size.rounds == pytest.approx(1000, rel=0.01)
    assert not size.slow


def test_what_is_left_after_a_collection_is_frozen(desk: Desk) -> None:
    desk.send(CollectGarbage(), Stop())
    try:
        serve(desk.link, batch, never)
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
    assert desk.sent() == [GarbageCollected()]


def test_pinning_is_not_answered(desk: Desk) -> None:
    desk.send(Pin(sorted(os.sched_getaffinity(0))), Stop())
    serve(desk.link, batch, never)
    assert desk.sent() == []


def test_the_calls_of_one_call_are_counted(desk: Desk) -> None:
    desk.send(CountCalls(), Stop())
    serve(desk.link, batch, lambda: lambda: [abs(i) for i in (-1, -2, -3)])
    (answer,) = desk.sent()
    assert isinstance(answer, Calls)
    assert ("abs", 3) in [(site.function, site.calls) for site in answer.sites]
