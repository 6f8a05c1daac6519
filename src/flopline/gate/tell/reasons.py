"""Why a benchmark has its verdict, or has no numbers, in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from flopline.characters import visible
from flopline.gate.tell.names import Name, Sentence
from flopline.units import share

if TYPE_CHECKING:
    from flopline.gate.record import Comparison, Difference, GateRecord, Loss, Settings


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


def calls(differences: list[Difference] | None) -> list[Sentence]:
    """Returns what the candidate calls more or less often, if that was examined."""
    if differences is None:
        return []
    if not differences:
        return [("no difference in calls",)]
    more = [each for each in differences if each.candidate > each.baseline]
    fewer = [each for each in differences if each.candidate < each.baseline]
    sentences = [_call(difference) for difference in more]
    if not more:
        # Fewer calls explain nothing that is slower.
        sentences.append(("no additional calls",))
    return [*sentences, *(_call(difference) for difference in fewer)]


def _call(difference: Difference) -> Sentence:
    more = difference.candidate - difference.baseline
    noun = "call" if abs(more) == 1 else "calls"
    function, where = Name(visible(difference.function)), Name(visible(difference.where))
    sentence = (f"{more:+d} {noun} of ", function, " from ", where)
    if difference.baseline and difference.candidate:
        return (*sentence, f" ({difference.candidate} instead of {difference.baseline})")
    return sentence


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
