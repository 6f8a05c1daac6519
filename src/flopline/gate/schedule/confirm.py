"""Confirming: suspects are measured in fresh blocks until each is decided, or time is up."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from flopline.gate.judge import verdict
from flopline.gate.judge.betting import fewest_to_reject
from flopline.gate.record import BlockRequest
from flopline.gate.schedule.suspects import find_suspects, look, of_direction
from flopline.progress import Progress
from flopline.units import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flopline.gate.judge.verdict import Confirmed, Direction
    from flopline.gate.record import Settings
    from flopline.gate.schedule.budget import Budget
    from flopline.gate.schedule.evidence import Evidence
    from flopline.gate.schedule.plan import Plan, Schedule

SHORTEST_SECONDS = 0.05
"""The fewest timed seconds per benchmark in a confirming block; they suffice for large changes."""
FEW_SUSPECTS = 10
"""Fewer suspects than this get more seconds in each block, up to `LONGER` times as many.

Starting a block takes a second, however little is measured in it.
"""
LONGER = 3.0


def confirm(evidence: Evidence, budget: Budget, schedule: Schedule) -> Plan:
    """Measures what looked suspicious in fresh blocks: first the slower ones, then the faster.

    If the built-in checks failed, nothing is measured.
    """
    if evidence.controls().problems:
        return
    evidence.suspects = find_suspects(evidence)
    yield from _confirm("slower", evidence, budget, schedule)
    yield from _confirm("faster", evidence, budget, schedule)


def _confirm(direction: Direction, evidence: Evidence, budget: Budget, schedule: Schedule) -> Plan:
    """Measures the suspects of one direction until every one is decided or the budget ends."""
    while True:
        evidence.tested |= look(direction, evidence)
        waiting = _undecided(direction, evidence)
        if not waiting:
            return
        group, seconds, quads = _next_group(waiting, evidence, budget, schedule)
        if not group:
            evidence.warnings.append(_not_confirmed(direction, waiting, evidence, budget, schedule))
            return
        is_alone = schedule.lanes == 1 or group[0] in evidence.wide
        lanes = 1 if is_alone else schedule.lanes
        done = min(_blocks_of(name, evidence) for name in group)
        blocks = max(math.ceil(_blocks_left(name, evidence)) for name in group)
        left = math.ceil(blocks / lanes) * evidence.costs.of_block(group, seconds, quads)
        stage = f"confirm {counted(len(group), direction + ' benchmark')}"
        progress = Progress(stage, done, done + blocks, seconds_left=left)
        request = BlockRequest(
            "confirm", group, seconds, progress, controls=False, alone=is_alone, quads=quads
        )
        yield tuple(request for _ in range(lanes))


def _undecided(direction: Direction, evidence: Evidence) -> list[str]:
    """Returns the suspects of a direction that more blocks could decide, the surest first."""
    names = []
    for name, suspect in evidence.suspects.items():
        if suspect.direction != direction or name in evidence.losses:
            continue
        tested = evidence.tested.get(name)
        left = suspect.at_most - _blocks_of(name, evidence)
        if left > 0 and not (tested and _is_settled(tested, left, suspect.settings)):
            names.append(name)
    return sorted(names, key=lambda name: evidence.suspects[name].expected)


def _is_settled(tested: Confirmed, left: int, settings: Settings) -> bool:
    """Returns whether more blocks would change nothing about a suspect."""
    if tested.rejected or verdict.is_futile(tested, settings):
        return True
    return verdict.is_hopeless(tested, left, settings)


class Group(NamedTuple):
    """Suspects that are measured together.

    Attributes:
        names: The suspects; none if there is no time for any.
        seconds: Timed seconds of each in a block.
        quads: The fewest quads of those that need more than that.
    """

    names: tuple[str, ...]
    seconds: float
    quads: Mapping[str, int] = MappingProxyType({})


def _next_group(
    waiting: Sequence[str], evidence: Evidence, budget: Budget, schedule: Schedule
) -> Group:
    """Returns the suspects of the next round; none if none is affordable.

    What is obvious comes before the rest, in short blocks. Then come all others that can be
    measured side by side, and at last those that need all CPUs. What was screened again has as many
    quads as it had there. If the budget cannot finish all of a group, the blocks get shorter, and
    then the group gets smaller.
    """
    suspects = evidence.suspects
    names = list(waiting)
    obvious = [name for name in names if suspects[name].obvious]
    longest = _confirming_seconds(len(names), schedule)
    quads = {name: evidence.quads_again[name] for name in names if name in evidence.quads_again}
    if obvious:
        names, longest, quads = obvious, SHORTEST_SECONDS, {}
    together = [name for name in names if name not in evidence.wide]
    names = together or names
    choices = (
        Group(tuple(names), longest, quads),
        Group(tuple(names), longest),
        Group(tuple(names), longest / 2),
    )
    for group in choices:
        if _seconds_to_decide(group, evidence, schedule) <= budget.remaining():
            return group
    for fewer in range(len(names), 0, -1):
        group = Group(tuple(names[:fewer]), SHORTEST_SECONDS)
        if _seconds_to_decide(group, evidence, schedule) <= budget.remaining():
            return group
    # What is expected may be exceeded by luck, so the last one is tried as long as a block fits.
    group = Group((names[0],), SHORTEST_SECONDS)
    enough = _fewest_left(names[0], evidence) * evidence.costs.of_block(group.names, group.seconds)
    lanes = 1 if names[0] in evidence.wide else schedule.lanes
    return group if enough / lanes <= budget.remaining() else Group((), SHORTEST_SECONDS)


def _seconds_to_decide(group: Group, evidence: Evidence, schedule: Schedule) -> float:
    """Returns how long it probably takes to decide all suspects of a group."""
    lanes = 1 if group.names[0] in evidence.wide else schedule.lanes
    blocks = max(_blocks_left(name, evidence) for name in group.names)
    block = evidence.costs.of_block(group.names, group.seconds, group.quads)
    return math.ceil(blocks / lanes) * block


def _blocks_left(name: str, evidence: Evidence) -> float:
    """Returns how many more blocks probably decide a suspect, at least one."""
    suspect = evidence.suspects[name]
    blocks = min(suspect.expected, suspect.at_most)
    return max(1.0, blocks - _blocks_of(name, evidence))


def _fewest_left(name: str, evidence: Evidence) -> int:
    """Returns how many more blocks a rejection takes at least, if none was measured before."""
    suspect = evidence.suspects[name]
    together = of_direction(evidence.suspects, suspect.direction)
    fewest = fewest_to_reject(len(together), suspect.settings)
    return max(1, fewest - _blocks_of(name, evidence))


def _blocks_of(name: str, evidence: Evidence) -> int:
    """Returns in how many confirming blocks a benchmark was measured."""
    return sum(block.stage == "confirm" and name in block.quads for block in evidence.blocks)


def _confirming_seconds(suspects: int, schedule: Schedule) -> float:
    """Returns the timed seconds per benchmark in a confirming block."""
    factor = max(1.0, FEW_SUSPECTS / suspects)
    return schedule.confirm_seconds * min(LONGER, factor)


def _not_confirmed(
    direction: Direction,
    waiting: Sequence[str],
    evidence: Evidence,
    budget: Budget,
    schedule: Schedule,
) -> str:
    """Returns a warning that the budget does not suffice, with one that does."""
    group = Group(tuple(waiting), SHORTEST_SECONDS)
    needed = budget.spent() + _seconds_to_decide(group, evidence, schedule)
    advised = math.ceil(needed / 10) * 10
    benchmarks = counted(
        len(waiting), f"benchmark that looked {direction}", f"benchmarks that looked {direction}"
    )
    return (
        f"the budget of {budget.seconds:.0f} s ended before {benchmarks} could be confirmed; "
        f"that takes about {needed:.0f} s in all: give --budget {advised}s"
    )


def blocks_still_needed(name: str, evidence: Evidence) -> int:
    """Returns how many confirming blocks a suspect asks for, those that it has had included."""
    blocks = _blocks_of(name, evidence)
    if name not in _undecided(evidence.suspects[name].direction, evidence):
        return blocks
    return blocks + math.ceil(_blocks_left(name, evidence))
