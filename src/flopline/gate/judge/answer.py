"""From verdicts and losses to the run's answer: its result in words and its exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flopline.gate.judge.counts import calls_rose
from flopline.gate.record import ExitCode
from flopline.units import counted

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from flopline.gate.record import Comparison, Loss, Settings

NAMED = 3
"""The result names at most this number of benchmarks."""


def answer(
    rows: Sequence[Comparison],
    problems: Sequence[str],
    losses: Mapping[str, Loss],
    measured: Collection[str],
    settings: Settings,
) -> tuple[str, ExitCode]:
    """Returns the run's answer in words, and its exit code as if nobody asked for less.

    A confirmed regression outranks everything else: whatever came after it, its test holds. Failed
    controls outrank a lost benchmark, and that outranks what remained undecided. That
    nothing was compared is no answer about a suite, but no fault of one of its parts.

    Benchmarks that are only reported, and slowdowns that are accepted, are named and decide
    nothing. If `--calls` was given, more calls are a failure, too, whatever the times say: they are
    counted, so that neither noise nor chance is in them.

    Args:
        rows: The verdicts.
        problems: What is wrong with the controls.
        losses: The benchmarks that could not be compared, and why.
        measured: The benchmarks that have numbers in some block.
        settings: What was asked of the run.
    """
    reported = {row.id for row in rows if row.report_only}
    binding = [row for row in rows if row.id not in reported]
    losses = {name: loss for name, loss in losses.items() if name not in reported}
    if reported and not binding and not problems:
        result = "no regression, because every benchmark is only reported"
        code = ExitCode.NO_REGRESSION
    else:
        result, code = _answer_by_time(binding, problems, losses, measured, settings)
    more = [f"{row.id} (+{row.more_calls})" for row in binding if calls_rose(row, settings)]
    if more:
        result = f"more calls in {counted(len(more), 'benchmark')}: {_names(more)}; time: {result}"
        code = ExitCode.REGRESSION
    return "; ".join([result, *_asides(rows)]), code


def _answer_by_time(
    rows: Sequence[Comparison],
    problems: Sequence[str],
    losses: Mapping[str, Loss],
    measured: Collection[str],
    settings: Settings,
) -> tuple[str, ExitCode]:
    """Returns what the times of the benchmarks say that decide the answer."""
    regressed = sum(row.verdict == "regressed" and row.is_binding for row in rows)
    if regressed:
        return counted(regressed, "confirmed regression"), ExitCode.REGRESSION
    if problems:
        return "inconclusive: " + "; ".join(problems), ExitCode.UNDECIDED
    lost = [name for name, loss in losses.items() if _is_fault(loss) or name in measured]
    if lost:
        return f"{counted(len(lost), 'benchmark')} lost: {_names(lost)}", ExitCode.COULD_NOT_WORK
    if all(row.verdict == "not comparable" for row in rows):
        return _nothing_compared(settings)
    return _without_regression(rows, settings)


def _asides(rows: Sequence[Comparison]) -> list[str]:
    """Returns what regressed without being a regression of the run."""
    accepted: list[str] = []
    reported: list[str] = []
    for row in rows:
        if row.verdict == "regressed" and not row.is_binding:
            (accepted if row.accepted else reported).append(row.id)
    asides = []
    if accepted:
        asides.append(f"{counted(len(accepted), 'accepted slowdown')}: {_names(accepted)}")
    if reported:
        asides.append(f"slower, and only reported: {_names(reported)}")
    return asides


def _without_regression(rows: Sequence[Comparison], settings: Settings) -> tuple[str, ExitCode]:
    """Returns the answer of a run that has confirmed no regression and lost nothing."""
    inconclusive = _count(rows, "inconclusive")
    if inconclusive == 0:
        return "no regression", ExitCode.NO_REGRESSION
    compared = len(rows) - _count(rows, "not comparable")
    undecided = f"{inconclusive} of {compared} benchmarks could not be decided"
    hiding = [row.id for row in rows if _could_hide(row, settings)]
    if hiding:
        undecided = f"{undecided}, and a regression may be in {_names(hiding)}"
    if hiding or 2 * inconclusive > compared:
        return f"inconclusive: {undecided}", ExitCode.UNDECIDED
    return f"no regression, but {undecided}", ExitCode.NO_REGRESSION


def _names(benchmarks: Sequence[str]) -> str:
    """Returns the first names of some benchmarks, and how many more there are."""
    names = ", ".join(benchmarks[:NAMED])
    more = len(benchmarks) - NAMED
    return f"{names} and {more} more" if more > 0 else names


def _nothing_compared(settings: Settings) -> tuple[str, ExitCode]:
    if settings.part.of > 1:
        return f"part {settings.part} has nothing to compare", ExitCode.NO_REGRESSION
    return "nothing was compared", ExitCode.COULD_NOT_WORK


def _count(rows: Sequence[Comparison], verdict: str) -> int:
    return sum(row.verdict == verdict for row in rows)


def _is_fault(loss: Loss) -> bool:
    """Returns whether a loss must fail the run.

    That is readings that cannot be true, a crash or a hang on either side, whether it was this
    benchmark's or kept this one from running in every block, or a failure on the candidate. A
    benchmark that the baseline lacks is new, and one that neither side can run does not count.
    """
    if loss.outcome in ("implausible", "crashed", "hung", "stopped"):
        return True
    return loss.side == "candidate" and loss.outcome != "missing"


def _could_hide(row: Comparison, settings: Settings) -> bool:
    """Returns whether an undecided benchmark may be slower, and the run did not find it out.

    It has no numbers, or it looked slower and was not tested as far as planned. A slowdown that is
    accepted need not be found.
    """
    if row.verdict != "inconclusive" or row.accepted:
        return False
    if row.change is None or row.blocks < row.planned:
        return True
    untested = row.limit is None
    half = settings.for_benchmark(row.id).detect / 2
    return untested and row.change is not None and row.change > half


def why(loss: Loss) -> str:
    """Returns why a benchmark could not be compared, in one line."""
    lines = [line for line in loss.text.strip().splitlines() if line.strip()]
    side = f" on the {loss.side}" if loss.side else ""
    fact = f"{loss.outcome}{side} ({loss.phase})"
    reason = _reason(loss, lines).strip()
    return f"{fact}: {reason}" if reason else fact


def _reason(loss: Loss, lines: Sequence[str]) -> str:
    """Returns the line of a loss's text that tells most."""
    # pytest marks what a failed test raised with an E.
    raised = [line for line in lines if line.startswith("E ")]
    if raised:
        return raised[0].removeprefix("E ")
    if not lines:
        return ""
    # The text of a process that ended begins with how it ended.
    return lines[0] if loss.phase == "process" else lines[-1]


def differing(
    baseline: Mapping[str, str], candidate: Mapping[str, str], own: Collection[str] = ()
) -> list[str]:
    """Returns one warning if the two environments have different versions of some packages.

    Args:
        baseline: The packages of one side, name to version.
        candidate: The packages of the other side.
        own: Packages that are what is compared; they may differ.
    """
    differences = []
    for name in sorted({*baseline, *candidate}.difference(own), key=str.lower):
        before = baseline.get(name, "absent")
        after = candidate.get(name, "absent")
        if before != after:
            differences.append(f"{name} {before} -> {after}")
    if not differences:
        return []
    return ["the sides' packages differ: " + ", ".join(differences)]
