"""What a run says of calls beside times: their number, and which of them differ.

The number of calls is counted in the blocks of the screen, for every benchmark that allows it.
Whatever needs to be explained is then run under a profiler in pairs of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flopline.gate.judge.counts import fails, with_calls
from flopline.gate.measure.calls import lasting_differences
from flopline.gate.measure.counting import Counted
from flopline.gate.measure.worker.flopline_worker.protocol import CountCalls, SumCalls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flopline.gate.measure.counting import CountingPair
    from flopline.gate.measure.worker.flopline_worker.protocol import Message
    from flopline.gate.record import Comparison, Difference, Settings

IN_DETAIL: tuple[Message, ...] = (CountCalls(), CountCalls())
"""Calling lines are counted twice, because one count does not tell what comes and goes."""
IN_SUM: tuple[Message, ...] = (SumCalls(), SumCalls())


def explain(
    rows: Sequence[Comparison], workers: CountingPair, settings: Settings
) -> tuple[list[Comparison], dict[str, list[Difference]]]:
    """Returns the comparisons, and the calls that differ in those that fail the run.

    If `--calls` was given, what the screen could not count is counted now.

    Args:
        rows: The comparisons.
        workers: Count calls.
        settings: What is asked of the run.

    Raises:
        WorkerError: A side could not be started or does not collect.
        SuiteError: The arguments switch benchmarks off.
    """
    counted = Counted()
    known = _count_the_rest(rows, workers, counted) if settings.calls else list(rows)
    failing = [row for row in known if fails(row, settings)]
    if failing:
        workers.count({row.id: IN_DETAIL for row in failing}, counted)
    # What differs from process to process is seen only in another one.
    varying = [row.id for row in failing if row.calls_vary or not row.has_calls]
    if varying:
        workers.renew()
        workers.count(dict.fromkeys(varying, IN_DETAIL), counted)
    roots = (workers.baseline.roots, workers.candidate.roots)
    explanations = {}
    for row in failing:
        sites = counted.sites.get(row.id, {})
        if len(sites) == len(roots):
            explanations[row.id] = lasting_differences(sites["baseline"], sites["candidate"], roots)
    return known, explanations


def _count_the_rest(
    rows: Sequence[Comparison], workers: CountingPair, counted: Counted
) -> list[Comparison]:
    """Counts what was timed and not counted yet; what differs then is counted in another pair."""
    names = [row.id for row in rows if row.change is not None and not row.has_calls]
    if names:
        workers.count(dict.fromkeys(names, IN_SUM), counted)
    if differing := [name for name in names if len({*sum(counted.pairs(name), ())}) > 1]:
        workers.renew()
        workers.count(dict.fromkeys(differing, IN_SUM), counted)
    return with_calls(rows, {name: counted.pairs(name) for name in names})
