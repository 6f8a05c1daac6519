"""The gate's own error rates on a machine and suite, from runs whose right answer is known."""

from __future__ import annotations

import math
import secrets
import statistics
import textwrap
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from scipy import stats

from flopline.gate.judge.bias import measure_bias
from flopline.gate.measure.handle import WorkerError
from flopline.gate.measure.pair import SuiteError, list_benchmarks
from flopline.gate.record import ExitCode
from flopline.gate.run import BROKEN, GateError, run
from flopline.gate.sides.nulledit import NULL_KINDS
from flopline.gate.sides.nullside import is_editable, null_side, subject_files
from flopline.progress import Progress, silent

if TYPE_CHECKING:
    import random
    from collections.abc import Collection, Sequence
    from pathlib import PurePosixPath

    from flopline.gate.judge.bias import Bias
    from flopline.gate.measure.pair import Collected
    from flopline.gate.record import GateRecord, Settings
    from flopline.gate.schedule.plan import Schedule
    from flopline.gate.sides.environment import Side
    from flopline.gate.sides.nulledit import NullKind
    from flopline.progress import Report

SLOWED = 5
"""Benchmarks that are slowed in a run, if the suite has so many."""
WIDTH = 100
"""Sentences are broken into lines of at most this number of characters."""


@dataclass(frozen=True)
class Rates:
    """How often the gate was wrong on this machine and suite.

    Attributes:
        runs: Runs on identical code; there were as many with known slowdowns.
        alarms: Runs on identical code that ended with a regression.
        undecided: Runs of any kind whose controls failed or that could not decide.
        slowed: Benchmarks that were slowed by exactly `detect`, over all runs.
        found: Slowed benchmarks that were called regressed.
        false: Benchmarks that were called regressed and not slowed, over all these runs.
        seconds: Median length of a run on identical code.
        detect: The slowdown.
        null_runs: Runs on edits that change no work.
        null_alarms: Runs on such edits that ended with a regression.
        null_kinds: The kinds of edits that were tried, in the order of their first runs.
        bias: How far these edits moved benchmarks for good; None if there is no estimate.
    """

    runs: int
    alarms: int
    undecided: int
    slowed: int
    found: int
    false: int
    seconds: float
    detect: float
    null_runs: int = 0
    null_alarms: int = 0
    null_kinds: tuple[NullKind, ...] = ()
    bias: Bias | None = None

    def text(self) -> str:
        """Returns the rates in words, with 95 % bounds (Clopper and Pearson)."""
        interval = ""
        if self.slowed:
            share = stats.binomtest(self.found, self.slowed).proportion_ci()
            interval = f", 95 % interval {share.low:.0%} to {share.high:.0%}"
        alarms = _alarms(self.alarms, self.runs)
        found = f"{self.found} of {self.slowed} found{interval}; {self.false} others flagged"
        null = "none; the suite loads no Python module of the project's own copy that can be edited"
        if self.null_runs:
            null = f"{_alarms(self.null_alarms, self.null_runs)}: {', '.join(self.null_kinds)}"
        lines = [
            f"identical code   {alarms}, median {self.seconds:.0f} s a run",
            f"slowed by {self.detect:.1%}   {found}",
            f"null edits       {null}",
            f"undecided        {self.undecided} of {2 * self.runs + self.null_runs} runs",
        ]
        if self.bias is not None:
            lines += ["", *textwrap.wrap(self.bias.text(self.detect), WIDTH)]
        return "\n".join(lines)


def _alarms(alarms: int, runs: int) -> str:
    """Returns in how many runs there was a false alarm, in words, with its upper bound."""
    bound = stats.binomtest(alarms, runs).proportion_ci().high if runs else 1.0
    return f"{alarms} of {runs} runs with a false alarm (95 % bound {bound:.0%})"


@dataclass(frozen=True)
class Trial:
    """One run of the gate whose right answer is known.

    Attributes:
        record: What the run found.
        slowed: The benchmarks that are really slower.
        kind: How the candidate was edited without a change of its work; None if it was not.
    """

    record: GateRecord
    slowed: frozenset[str] = field(default_factory=frozenset)
    kind: NullKind | None = None

    @property
    def regressed(self) -> frozenset[str]:
        """The benchmarks that the run called regressed."""
        rows = self.record.comparisons
        return frozenset(row.id for row in rows if row.verdict == "regressed")

    @property
    def found(self) -> frozenset[str]:
        """The slower benchmarks that it called regressed."""
        return self.regressed & self.slowed

    @property
    def missed(self) -> frozenset[str]:
        """The slower benchmarks that it did not call regressed."""
        return self.slowed - self.regressed

    @property
    def false(self) -> frozenset[str]:
        """The benchmarks that it called regressed although they are not slower."""
        return self.regressed - self.slowed


def try_slowdown(
    baseline: Side,
    candidate: Side,
    settings: Settings,
    slowed: Collection[str],
    slowdown: float,
    *,
    report: Report = silent,
    schedule: Schedule | None = None,
) -> Trial:
    """Runs the gate on identical code, with some benchmarks slowed.

    A benchmark is slowed by multiplying the times that the candidate reports, so that the noise is
    this machine's own and the slowdown is exact.

    Args:
        baseline: A side.
        candidate: The same code as the candidate.
        settings: What is asked of the run.
        slowed: The benchmarks that are slowed; none for a run on identical code.
        slowdown: By how much, as a fraction.
        report: Receives the progress.
        schedule: How much is measured, as in `run`.

    Raises:
        GateError: As `run`; so are the other errors.
    """
    stretched = dict.fromkeys(slowed, slowdown)
    record = run(
        baseline,
        candidate,
        settings,
        report=report,
        schedule=schedule,
        slowdown=stretched,
        explains=False,
    )
    return Trial(record, frozenset(slowed))


def try_null_edit(
    baseline: Side,
    edits: NullEdits,
    kind: NullKind,
    settings: Settings,
    *,
    report: Report = silent,
    schedule: Schedule | None = None,
) -> Trial:
    """Runs the gate on a copy of the baseline after an edit that changes no work.

    Args:
        baseline: A side.
        edits: What can be edited in it.
        kind: What is done to the files.
        settings: What is asked of the run.
        report: Receives the progress.
        schedule: How much is measured, as in `run`.

    Raises:
        ExportError: The copy could not be written.
        GateError: As `run`; so are the other errors.
    """
    with null_side(baseline, edits.files, kind, edits.lot) as candidate:
        record = run(
            baseline, candidate, settings, report=report, schedule=schedule, explains=False
        )
    return Trial(record, kind=kind)


@dataclass(frozen=True)
class NullEdits:
    """What can be edited in a side without a change of its work.

    Attributes:
        files: The Python files of the subject, relative to the side's home.
        kinds: The edits that change something and that the suite bears, in the order of a lot.
        lot: Draws how much is edited.
    """

    files: tuple[PurePosixPath, ...]
    kinds: tuple[NullKind, ...]
    lot: random.Random

    def kind(self, number: int) -> NullKind:
        """Returns the kind of a run, counted from 0; all kinds come before one comes again."""
        return self.kinds[number % len(self.kinds)]


def null_edits(
    side: Side, collected: Collected, settings: Settings, lot: random.Random
) -> NullEdits:
    """Finds out which null edits can be made to a side.

    A kind that stops the suite from being collected is left out: a module may read its own source.

    Args:
        side: The side.
        collected: What it has collected, with the code that it has loaded.
        settings: What is asked of the runs.
        lot: Draws what is edited.

    Raises:
        ExportError: A copy could not be written.
    """
    suite = {benchmark.file for benchmark in collected.items.values()}
    loaded = [row.file for row in collected.loaded]
    files = tuple(subject_files(side, loaded, suite))
    kinds = []
    for kind in NULL_KINDS:
        if is_editable(side, files, kind, lot):
            with null_side(side, files, kind, lot) as edited:
                if _items(edited, settings) == list(collected.items):
                    kinds.append(kind)
    lot.shuffle(kinds)
    return NullEdits(files, tuple(kinds), lot)


def _items(side: Side, settings: Settings) -> list[str]:
    """Returns the benchmarks of a side; none if it cannot be collected."""
    try:
        return list(list_benchmarks([side], settings.arguments)[0].items)
    except (WorkerError, SuiteError):
        return []


def choose_slowed(benchmarks: Sequence[str], count: int = SLOWED) -> frozenset[str]:
    """Returns some benchmarks, drawn by lot."""
    drawn = secrets.SystemRandom().sample(benchmarks, min(count, len(benchmarks)))
    return frozenset(drawn)


def self_check(
    baseline: Side,
    candidate: Side,
    settings: Settings,
    *,
    runs: int,
    report: Report = silent,
    slowed: int = SLOWED,
    schedule: Schedule | None = None,
) -> Rates:
    """Measures how often the gate is wrong.

    The gate runs `runs` times on identical code, as often with some benchmarks slowed by exactly
    `detect`, and as often on edits that change no work. The kinds take turns, so that all see the
    same moods of the machine. Both sides are the baseline. What is asked of some benchmarks in
    particular is not regarded, except that those that are ignored are not measured.

    Args:
        baseline: The code that is compared with itself.
        candidate: The other side, of which only the tree is used.
        settings: What is asked of each run.
        runs: How many runs of each kind there are.
        report: Receives the progress.
        slowed: How many benchmarks are slowed in each run, drawn by lot.
        schedule: How much each run measures, as in `run`.

    Raises:
        GateError: A run was interrupted; otherwise as `run`, and so are the other errors.
        ExportError: An edited copy of the baseline could not be written.
    """
    report(Progress("collecting"))
    settings = settings.without_exceptions()
    (collected,) = list_benchmarks([baseline], settings.arguments)
    names = [name for name in collected.items if not settings.rule(name).ignore]
    edits = null_edits(baseline, collected, settings, secrets.SystemRandom())
    version = replace(baseline.version, name="candidate")
    twin = replace(baseline, version=version, tree=candidate.tree)
    check = _Check(baseline, twin, edits, settings, schedule)
    identical = []
    slower = []
    edited = []
    for number in range(1, runs + 1):
        title = f"self-check {number} of {runs}"
        identical.append(check.slow([], _titled(report, f"{title}, identical")))
        chosen = choose_slowed(names, slowed)
        slower.append(check.slow(chosen, _titled(report, f"{title}, {len(chosen)} slowed")))
        if edits.kinds:
            kind = edits.kind(number - 1)
            edited.append(check.edit(kind, _titled(report, f"{title}, {kind}")))
    return count_rates(identical, slower, settings, edited)


def _titled(report: Report, title: str) -> Report:
    """Returns a function that reports the progress of a run under a title."""

    def titled(progress: Progress) -> None:
        report(replace(progress, stage=f"{title}: {progress.stage}"))

    return titled


@dataclass(frozen=True)
class _Check:
    """What all runs of a self-check have in common.

    Attributes:
        baseline: A side.
        twin: The same code as the candidate.
        edits: What can be edited in it.
        settings: What is asked of each run.
        schedule: How much each run measures.
    """

    baseline: Side
    twin: Side
    edits: NullEdits
    settings: Settings
    schedule: Schedule | None

    def slow(self, chosen: Collection[str], report: Report) -> Trial:
        """Runs the gate on identical code with these benchmarks slowed by `detect`."""
        trial = try_slowdown(
            self.baseline,
            self.twin,
            self.settings,
            chosen,
            self.settings.detect,
            report=report,
            schedule=self.schedule,
        )
        return _finished(trial)

    def edit(self, kind: NullKind, report: Report) -> Trial:
        """Runs the gate on an edit that changes no work."""
        trial = try_null_edit(
            self.baseline, self.edits, kind, self.settings, report=report, schedule=self.schedule
        )
        return _finished(trial)


def _finished(trial: Trial) -> Trial:
    """Returns a run without what was measured, which takes megabytes; the rates need the verdicts.

    Raises:
        GateError: It was interrupted.
    """
    if trial.record.result.startswith(BROKEN):
        raise GateError(f"the self-check was {trial.record.result}")
    return replace(trial, record=replace(trial.record, blocks=[]))


def count_rates(
    identical: Sequence[Trial],
    slower: Sequence[Trial],
    settings: Settings,
    edited: Sequence[Trial] = (),
) -> Rates:
    """Returns the error rates of as many runs on identical code as on slowed code.

    Args:
        identical: Runs on identical code.
        slower: Runs with known slowdowns.
        settings: What was asked of the runs; `detect` is the size of these slowdowns.
        edited: Runs on edits that change no work.
    """
    known = [*identical, *slower]
    trials = [*known, *edited]
    seconds = [trial.record.seconds for trial in identical]
    kinds = [trial.kind for trial in edited if trial.kind is not None]
    return Rates(
        runs=len(identical),
        alarms=sum(trial.record.exit_code == ExitCode.REGRESSION for trial in identical),
        undecided=sum(trial.record.exit_code > ExitCode.REGRESSION for trial in trials),
        slowed=sum(len(trial.slowed) for trial in slower),
        found=sum(len(trial.found) for trial in slower),
        false=sum(len(trial.false) for trial in known),
        seconds=statistics.median(seconds) if seconds else math.nan,
        detect=settings.detect,
        null_runs=len(edited),
        null_alarms=sum(trial.record.exit_code == ExitCode.REGRESSION for trial in edited),
        null_kinds=tuple(dict.fromkeys(kinds)),
        bias=measure_bias([trial.record.comparisons for trial in edited], settings.margin),
    )
