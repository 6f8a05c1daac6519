"""What the screen found suspicious, and what fresh blocks have shown of it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from flopline.gate.judge import verdict
from flopline.gate.judge.betting import expected_blocks, fewest_to_reject
from flopline.gate.judge.clock import coarse
from flopline.gate.judge.verdict import MOST_BLOCKS
from flopline.gate.schedule.evidence import Suspect

if TYPE_CHECKING:
    from flopline.gate.judge.verdict import Confirmed, Direction
    from flopline.gate.schedule.evidence import Evidence

SPARE_FOR_IMPROVEMENTS = 6
"""An improvement gets at most so many blocks more than the fewest that can confirm it."""
SURE = 2.5
"""A change is obvious if at most so many blocks more than the fewest are expected to confirm it.

That must be so even if the blocks, which are short then, are twice as noisy as those of the screen.
"""


def find_suspects(evidence: Evidence) -> dict[str, Suspect]:
    """Returns what the screen found suspicious, with the number of blocks that confirm each.

    A benchmark that is not slower by its clock may be by its second one, for example because it no
    longer works in parallel. It is then tested by that.
    """
    quads = evidence.screening()
    parallel = evidence.screening(parallel=True)
    suspects: dict[str, Suspect] = {}
    for name, screened in evidence.screened().items():
        if screened is None:
            continue
        its = evidence.settings.for_benchmark(name)
        direction = verdict.suspicious(screened, its)
        if direction is not None:
            suspects[name] = Suspect(screened, direction, its)
    for name, screened in verdict.second_opinions(quads, parallel, evidence.settings).items():
        already = name in suspects and suspects[name].direction == "slower"
        if screened is None or already:
            continue
        less = coarse(evidence.settings.for_benchmark(name))
        if verdict.suspicious(screened, less) == "slower":
            suspects[name] = Suspect(screened, "slower", less, by_second=True)
    for name, suspect in suspects.items():
        screened, its = suspect.screened, suspect.settings
        tests = len(of_direction(suspects, suspect.direction))
        fewest = fewest_to_reject(tests, its)
        certain = verdict.certain_change(screened)
        change = max(math.log1p(its.detect), certain)
        in_short_blocks = expected_blocks(certain, 2 * screened.sigma, tests, its)
        suspects[name] = replace(
            suspect,
            expected=expected_blocks(change, screened.sigma, tests, its),
            at_most=MOST_BLOCKS,
            obvious=in_short_blocks <= fewest + SURE,
        )
        if suspect.direction == "faster":
            most = fewest + SPARE_FOR_IMPROVEMENTS
            suspects[name] = replace(suspects[name], at_most=most)
    return suspects


def of_direction(suspects: dict[str, Suspect], direction: Direction) -> list[str]:
    """Returns the suspects that are tested together for one direction."""
    return [name for name, suspect in suspects.items() if suspect.direction == direction]


def look(direction: Direction, evidence: Evidence) -> dict[str, Confirmed]:
    """Tests the suspects of a direction on all their confirming blocks.

    Those that have none yet, or were lost, count in Holm's correction as if they had no evidence,
    so that the error rate covers all suspects. A suspect's clock is the one that its screen chose.
    """
    by_clock = (evidence.quads("confirm"), evidence.quads("confirm", parallel=True))
    samples = {}
    for name in of_direction(evidence.suspects, direction):
        screened = evidence.suspects[name].screened
        measured = by_clock[evidence.suspects[name].by_second]
        values = verdict.block_values(measured.get(name, []), screened.clock)
        if direction == "faster":
            values = [-value for value in values]
        samples[name] = verdict.Sample(values, screened.sigma, evidence.suspects[name].settings)
    return verdict.confirm_changes(samples, evidence.settings)


def tests_for_slower(evidence: Evidence) -> int:
    """Returns how many benchmarks are tested for "slower"."""
    return len(of_direction(evidence.suspects, "slower"))
