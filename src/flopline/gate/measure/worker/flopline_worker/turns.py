"""Doing what the coordinator commands: taking turns with the other worker, above all."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

from .affinity import pin
from .children import CHILDREN
from .meter import SLOW_CALL, size_batch
from .originals import Original
from .profile import count_calls, sum_calls
from .protocol import (
    BatchSize,
    Calls,
    CallSum,
    CollectGarbage,
    CountCalls,
    GarbageCollected,
    Pin,
    SizeBatch,
    SumCalls,
    TakeTurns,
    Times,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .link import Link
    from .meter import Batch
    from .protocol import Message, Reading

    Prepare = Callable[[], Callable[[], object]]

Counts = TypeVar("Counts")


def serve(link: Link, batch: Batch, prepare: Prepare) -> Message:
    """Obeys commands until one comes that ends the measurement, and returns that command.

    Args:
        link: The pipes.
        batch: Runs a number of rounds as one batch.
        prepare: Returns a call of the benchmarked function without arguments, to count its calls.
            If that has a `keep`, it is given what the function returned.
    """
    while True:
        command = link.receive()
        match command:
            case TakeTurns():
                link.series = command.series
                CHILDREN.look()
                link.send(Times(take_turns(link, batch, command.rounds, command.mine)))
            case SizeBatch():
                CHILDREN.look()
                link.send(_batch_size(batch, command))
            case CollectGarbage():
                Original.collect_garbage()
                # The next collection would walk through everything again, 0.2 s with torch, unless
                # what is left is frozen.
                Original.freeze_garbage()
                link.send(GarbageCollected())
            case Pin():
                pin(command.cpus)
            case CountCalls():
                link.send(Calls(_counted(count_calls, prepare)))
            case SumCalls():
                link.send(CallSum(_counted(sum_calls, prepare)))
            case _:
                return command


def _counted(
    count: Callable[[Callable[[], object]], tuple[Counts, Any]], prepare: Prepare
) -> Counts:
    """Returns what was counted of one call, for which its own preparations were made."""
    call = prepare()
    counts, result = count(call)
    keep = getattr(call, "keep", None)
    if keep is not None:
        keep(result)
    return counts


def take_turns(link: Link, batch: Batch, rounds: int, mine: Sequence[bool]) -> list[Reading]:
    """Runs a batch at each of its turns, and returns these batches in time order.

    If a batch fails, the other worker learns that no more turns follow, and the error is raised.

    Args:
        link: The pipes.
        batch: Runs a number of rounds as one batch.
        rounds: Rounds in a batch.
        mine: For each turn of both workers, whether it is this worker's.
    """
    taken = []
    for turn, own in enumerate(mine):
        if not own:
            continue
        others_before = turn > 0 and not mine[turn - 1]
        others_next = turn + 1 < len(mine) and not mine[turn + 1]
        if others_before and not link.wait():
            break
        try:
            taken.append(batch(rounds))
        except BaseException:
            link.hand_over(more=False)
            raise
        if others_next:
            link.hand_over()
    return taken


def _batch_size(batch: Batch, command: SizeBatch) -> BatchSize:
    """Sizes a batch; where no round is allowed, a batch is one round."""
    if command.at_most == 0:
        return BatchSize(rounds=1, used=0, slow=False)
    at_most = math.inf if command.at_most is None else command.at_most
    begin = Original.perf_counter()
    size = size_batch(batch, command.seconds, at_most)
    is_slow = Original.perf_counter() - begin > SLOW_CALL
    return BatchSize(size.rounds, size.used, is_slow, size.last)
