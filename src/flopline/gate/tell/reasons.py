"""Why a benchmark has its verdict, or has no numbers, in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from flopline.characters import visible
from flopline.gate.tell.names import Name, Sentence
from flopline.units import counted, duration, share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flopline.gate.record import Comparison, Difference, GateRecord, Loss, Settings

MOST_MORE = 5
"""At most so many lines that call more are named."""
MOST_FEWER = 2
"""At most so many lines that call less are named."""
LITTLE = 0.1
"""Calls that take a smaller share of what a benchmark takes longer hardly explain that."""
SAME: Sentence = ("no difference in calls",)
HARDLY: Sentence = (
    "the additional calls take less than a tenth of what it takes longer, and so hardly explain it",
)


def tolerated(settings: Settings) -> str:
    """Returns the slowdown that is tolerated: `1 %`."""
    return f"{100 * math.expm1(settings.margin):.2g} %"


def behind_verdict(row: Comparison, settings: Settings) -> list[str]:
    """Returns the result of the confirming test, and why there is no clearer verdict.

    Args:
        row: The benchmark.
        settings: What was asked of it.
    """
    sentences = _exceptions(row)
    was_tested = row.p is not None and row.limit is not None and row.change is not None
    if was_tested and row.verdict != "improved":
        sentences.append(_test(row, tolerated(settings)))
    if settings.calls and row.more_calls > 0:
        more = counted(row.more_calls, "more call")
        sentences.append(f"{more} ({row.calls_candidate} instead of {row.calls_baseline})")
    if row.note:
        sentences.append(visible(row.note))
    elif row.verdict == "inconclusive" and row.sigma is not None and row.detectable is not None:
        if row.detectable > settings.detect:
            sentences.append(
                f"too noisy: a slowdown of {share(settings.detect)} might not have been found"
            )
        else:
            sentences.append(f"a slowdown of {share(settings.detect)} is not ruled out")
    return sentences


def _exceptions(row: Comparison) -> list[str]:
    """Returns why a regressed, undecided or lost benchmark does not decide the run's answer."""
    if row.verdict in ("unchanged", "improved"):
        return []
    sentences = []
    if row.accepted and row.verdict != "not comparable":
        commit = visible(row.accepted)
        sentences.append(f"the commit message of {commit} accepts a slowdown")
    if row.report_only:
        sentences.append("it is only reported, and does not change the exit code")
    return sentences


def _test(row: Comparison, margin: str) -> str:
    """Returns the result of a benchmark's confirming test."""
    is_slower = (row.change or 0.0) >= 0
    bound = f"above +{margin}" if is_slower else f"below -{margin}"
    sentence = f"{row.beyond}/{row.blocks} blocks {bound}, p = {row.p:.2g}"
    if row.verdict == "regressed":
        return sentence
    return f"{sentence}, where Holm's limit is {row.limit:.2g}"


def calls(explained: Sequence[tuple[Comparison, list[Difference]]]) -> list[Sentence]:
    """Returns what the candidate calls more or less often.

    What takes longest comes first. Fewer calls explain nothing that is slower, so at most
    `MOST_FEWER` of them are named, and after it was said that there are no additional ones.

    Args:
        explained: One benchmark with its differences, or several with the same lines.
    """
    row, first = explained[0]
    if not first:
        return [("no difference in calls that does not come and go",) if row.calls_vary else SAME]
    by_line = [{_line(each): each for each in differences} for _, differences in explained]
    more: list[list[Difference]] = []
    fewer: list[list[Difference]] = []
    for line in map(_line, first):
        same = [differences[line] for differences in by_line]
        (more if line.is_more else fewer).append(same)
    sentences: list[Sentence] = []
    if not more:
        sentences.append(("no additional calls, so calls do not explain it",))
    elif all(_hardly_explains(row, differences) for row, differences in explained):
        sentences.append(HARDLY)
    sentences += [_call(same) for same in more[:MOST_MORE]]
    if len(more) > MOST_MORE:
        others = counted(len(more) - MOST_MORE, "other line")
        sentences.append((f"and additional calls from {others}",))
    return [*sentences, *(_call(same) for same in fewer[:MOST_FEWER])]


class CallingLine(NamedTuple):
    """A line that calls a function more often, or less often.

    Attributes:
        function: The function.
        where: The line.
        is_more: Whether it calls it more often.
    """

    function: str
    where: str
    is_more: bool


def _line(difference: Difference) -> CallingLine:
    is_more = difference.candidate > difference.baseline
    return CallingLine(difference.function, difference.where, is_more)


def same_lines(differences: Sequence[Difference]) -> frozenset[CallingLine]:
    """Returns a key that is equal for differences of the same lines."""
    return frozenset(map(_line, differences))


def _hardly_explains(row: Comparison, differences: Sequence[Difference]) -> bool:
    """Returns whether the additional calls take far less time than the benchmark takes longer."""
    slower = (row.seconds or 0.0) * (row.change or 0.0)
    longest = max(each.seconds for each in differences if each.candidate > each.baseline)
    return row.verdict == "regressed" and 0 < longest < LITTLE * slower


def _call(same: Sequence[Difference]) -> Sentence:
    """Returns what one line calls more or less often, in one benchmark or in several."""
    numbers = sorted((each.candidate - each.baseline for each in same), key=abs)
    low, high = numbers[0], numbers[-1]
    number = f"{low:+d}" if low == high else f"{low:+d} to {high:+d}"
    noun = "call" if abs(high) == 1 else "calls"
    first = same[0]
    function, where = Name(visible(first.function)), Name(visible(first.where))
    sentence = (f"{number} {noun} of ", function, " from ", where)
    facts = []
    if len(same) == 1 and first.baseline and first.candidate:
        facts.append(f"{first.candidate} instead of {first.baseline}")
    longest = max(each.seconds for each in same)
    if high > 0 and longest > 0:
        facts.append(_roughly(longest) if len(same) == 1 else f"at most {_roughly(longest)}")
    return (*sentence, f" ({', '.join(facts)})") if facts else sentence


def _roughly(seconds: float) -> str:
    """Returns a time that was measured under a profiler, with one digit: `roughly 20 us`."""
    return f"roughly {duration(float(f'{seconds:.0e}'))}"


def losses(record: GateRecord) -> dict[str, list[Loss]]:
    """Returns why benchmarks have no numbers in some blocks, by node id.

    A benchmark that was only stopped because another one failed is left out, unless it was never
    measured. Losses of its own come before those
    that another benchmark caused.
    """
    by_name: dict[str, list[Loss]] = {}
    measured: set[str] = set()
    for block in record.blocks:
        measured.update(block.quads)
        for name, loss in block.lost.items():
            by_name.setdefault(name, []).append(loss)
    explained = {}
    for name, all_losses in by_name.items():
        own_first = sorted(all_losses, key=lambda loss: loss.outcome == "stopped")
        if own_first[0].outcome != "stopped" or name not in measured:
            explained[name] = own_first
    return explained


def not_applicable(record: GateRecord) -> list[str]:
    """Returns the benchmarks of an asv suite that were never run, because both sides skip them.

    Combinations of parameters that make no sense are left out so, and asv shows them as n/a.
    """
    if not record.settings.asv:
        return []
    return [
        name
        for name, all_losses in losses(record).items()
        if all(loss.outcome == "skipped" and loss.side is None for loss in all_losses)
    ]


def behind_loss(name: str, all_losses: list[Loss], record: GateRecord) -> str:
    """Returns what happened to a benchmark, on which side, and in how many blocks."""
    first = all_losses[0]
    tried = 0
    for block in record.blocks:
        if name in block.quads or name in block.lost:
            tried += 1
    side = f"on the {first.side}" if first.side else "on both sides"
    return f"{first.outcome} {side} ({first.phase}) in {len(all_losses)} of {tried} blocks"
