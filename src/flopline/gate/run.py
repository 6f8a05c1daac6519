"""From two sides to a record: collect, measure what the plans request, compare, explain."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from flopline import FloplineError, __version__, git, records
from flopline.gate import calls
from flopline.gate.judge import controls, verdict
from flopline.gate.judge.answer import answer, differing, why
from flopline.gate.judge.counts import counts_of, fails, with_calls
from flopline.gate.measure.alternate import Blocks
from flopline.gate.measure.counting import CountingPair
from flopline.gate.measure.handle import WorkerError
from flopline.gate.measure.lanes import cpus_for_lanes, side_by_side
from flopline.gate.measure.origin import compare_code, listed, refuse_foreign
from flopline.gate.measure.pair import TAKEN, TAKEN_ADVICE, list_benchmarks
from flopline.gate.measure.parents import Parents
from flopline.gate.measure.patience import Patience
from flopline.gate.record import Comparison, ExitCode, GateRecord, Loss, SideFacts
from flopline.gate.rules import matches, unmatched
from flopline.gate.schedule.budget import Budget
from flopline.gate.schedule.confirm import blocks_still_needed, confirm
from flopline.gate.schedule.evidence import Evidence
from flopline.gate.schedule.plan import Schedule
from flopline.gate.schedule.screen import screen
from flopline.gate.schedule.suspects import tests_for_slower
from flopline.gate.sides.acceptance import TRAILER, acceptances
from flopline.gate.sides.overlay import Overlaid, overlay
from flopline.gate.sides.surroundings import share_surroundings
from flopline.machine import hardware
from flopline.progress import Progress, silent
from flopline.units import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from flopline.gate.judge.verdict import Screened
    from flopline.gate.measure.lanes import Lane
    from flopline.gate.measure.pair import Collected
    from flopline.gate.measure.worker.flopline_worker.protocol import Imported, LoadedFile
    from flopline.gate.record import (
        Block,
        BlockRequest,
        Difference,
        Part,
        Quad,
        Settings,
        SideName,
        Stage,
    )
    from flopline.gate.schedule.evidence import Suspect
    from flopline.gate.schedule.plan import Plan, Round
    from flopline.gate.sides.environment import Side
    from flopline.machine import Facts
    from flopline.progress import Report

    Explained = tuple[list[Comparison], dict[str, list[Difference]]]

PAIRS_OF_A_PARENT = 4
"""So many confirming pairs are forked from one parent."""
BROKEN = "broken off"
"""The result of a run begins with these words if the run did not come to its end."""
SHOWN_LOSSES = 10
"""At most this number of lost benchmarks is named if nothing could be measured."""


class GateError(FloplineError, RuntimeError):
    """The gate could not do its work."""


def run(
    baseline: Side,
    candidate: Side,
    settings: Settings,
    *,
    cpus: Sequence[int] | None = None,
    report: Report = silent,
    schedule: Schedule | None = None,
    slowdown: Mapping[str, float] | None = None,
    explains: bool = True,
) -> GateRecord:
    """Compares two sides.

    A run that is interrupted, or in which a side no longer starts, returns what it has measured if
    at least one block was completed.

    Args:
        baseline: The side that is compared with.
        candidate: The side that is judged.
        settings: What is asked of the run.
        cpus: The CPUs that may be used; by default all that this process may use.
        report: Receives the progress.
        schedule: How much is measured; by default what suits the settings.
        slowdown: By which fraction the candidate's readings are stretched, per benchmark, in order
            to test the gate.
        explains: Whether it is found out which calls differ where a benchmark fails the run.

    Raises:
        GateError: There is nothing to compare.
        WorkerError: A side does not start.
        SuiteError: The suite cannot be compared with these arguments.
    """
    started = records.now()
    machine = hardware()
    sides = (baseline, candidate)
    budget = Budget(settings.budget, time.monotonic)
    usable = cpus or sorted(os.sched_getaffinity(0))
    lanes = cpus_for_lanes(usable)
    patience = Patience.of(settings.budget)
    telling = threading.Lock()
    reports: dict[SideName, list[LoadedFile]] = {}

    def measure(request: BlockRequest, lane: Lane | None) -> Block:
        def announce(benchmark: str) -> None:
            with telling:
                report(replace(request.progress, detail=benchmark))

        return blocks.measure(request, announce, lane)

    def measure_round(requests: Round) -> tuple[Block, ...]:
        renewal.before(requests)
        measured = side_by_side(measure, requests, lanes, patience.stopped)
        if blocks.loaded is not None:
            evidence.warnings.extend(judge_code(sides, reports, suite))
        if len(reports) == len(sides):
            blocks.loaded = None
        return measured

    def explain(rows: Sequence[Comparison]) -> Explained:
        report(Progress("explaining"))
        workers = CountingPair(
            baseline,
            candidate,
            settings.arguments,
            patience=patience,
            parents=parents,
            alternate=settings.alternate or bool(blocks.apart),
        )
        return calls.explain(rows, workers, settings)

    def tell(text: str) -> None:
        report(Progress("collecting", detail=text))

    report(Progress("collecting"))
    with Parents(baseline, candidate) as parents:
        parents.prepare()  # it starts while both sides are collected
        suite = share_suite(baseline, candidate, settings, patience=replace(patience, tell=tell))
        parents.learn(suite.imported)
        renewal = Renewal(parents)
        evidence = Evidence(
            settings, suite.benchmarks, losses=suite.losses, warnings=suite.warnings
        )
        accepted, notes = accepted_slowdowns(sides, suite)
        evidence.warnings.extend(notes)
        blocks = Blocks(
            baseline=baseline,
            candidate=candidate,
            settings=settings,
            cpus=usable,
            slowdown=slowdown or {},
            patience=patience,
            warnings=evidence.warnings,
            loaded=reports.__setitem__,
            parents=parents,
        )
        findings = Findings(compare_all(evidence))
        if suite.benchmarks:  # a part may have none
            findings = investigate(
                evidence,
                budget,
                schedule or Schedule.of(settings, len(lanes)),
                measure=measure_round,
                explain=explain if explains else unexplained,
            )
    evidence.warnings.extend(parents.notes)
    if evidence.blocks:
        evidence.warnings.extend(_silent_about_code(sides, reports))
    findings = replace(findings, comparisons=regard(findings.comparisons, settings, accepted))
    seconds = budget.spent()
    return _record(suite, evidence, findings, machine=machine, started=started, seconds=seconds)


def unexplained(rows: Sequence[Comparison]) -> Explained:
    """Returns comparisons as they are."""
    return list(rows), {}


@dataclass
class Renewal:
    """When the next pairs get another parent, and so another hash seed and layout.

    The screen has one parent. Confirming pairs have others, `PAIRS_OF_A_PARENT` each, so that
    nothing that is particular to one process is in all of the evidence.

    Attributes:
        parents: The parents.
        stage: The stage of the pairs that the present one has had.
        pairs: How many pairs these are.
    """

    parents: Parents
    stage: Stage = "screen"
    pairs: int = 0

    def before(self, requests: Round) -> None:
        """Renews the parent before a round is measured, if it is time."""
        stage = requests[0].stage
        used_up = stage == "confirm" and self.pairs >= PAIRS_OF_A_PARENT
        if used_up or (stage == "confirm" and self.stage != "confirm"):
            self.parents.renew()
            self.pairs = 0
        self.stage = stage
        self.pairs += len(requests)
        if stage == "confirm" and self.pairs >= PAIRS_OF_A_PARENT:
            self.parents.prepare()


def accepted_slowdowns(sides: tuple[Side, Side], suite: Suite) -> tuple[dict[str, str], list[str]]:
    """Returns which commit accepts a slowdown, by node id, and what a reader must know of it.

    Args:
        sides: The baseline and the candidate.
        suite: What they ran.
    """
    baseline, candidate = sides
    try:
        found = acceptances(baseline.version, candidate.version)
    except git.GitError as error:
        return {}, [f"no slowdown counts as accepted, because git cannot say what is: {error}"]
    accepted: dict[str, str] = {}
    notes = []
    for acceptance in found:
        names = [name for name in suite.known if matches(acceptance.pattern, name)]
        if not names:
            notes.append(
                f"{TRAILER} of commit {acceptance.commit} names {acceptance.pattern!r}, which is "
                "no benchmark of this run"
            )
        for name in names:
            accepted.setdefault(name, acceptance.commit)
    return accepted, notes


def regard(
    rows: Sequence[Comparison], settings: Settings, accepted: Mapping[str, str]
) -> list[Comparison]:
    """Returns the comparisons with what is asked of each benchmark beside its measurement."""
    regarded = []
    for row in rows:
        report_only = bool(settings.rule(row.id).report_only)
        commit = accepted.get(row.id, "")
        regarded.append(replace(row, report_only=report_only, accepted=commit))
    return regarded


def _silent_about_code(
    sides: tuple[Side, Side], reports: Mapping[SideName, list[LoadedFile]]
) -> list[str]:
    """Returns a warning about each side that never said which code it has run."""
    silent_sides = [side for side in sides if side.home is not None and side.name not in reports]
    return [
        f"the {side.name} did not report which code it ran, because its sessions did not come to "
        "their end"
        for side in silent_sides
    ]


def judge_code(
    sides: tuple[Side, Side], reports: Mapping[SideName, list[LoadedFile]], suite: Suite
) -> list[str]:
    """Returns warnings about the code that the sides have run in a block.

    Args:
        sides: The baseline and the candidate.
        reports: The files that they have loaded, as far as they reported them.
        suite: What they ran.

    Raises:
        ForeignCodeError: A side has run code of the user's checkout.
        SameCodeError: What differs between the versions was made equal.
    """
    for side in sides:
        refuse_foreign(side, reports.get(side.name, ()))
    if len(reports) < len(sides):  # a worker has crashed; the next block will tell
        return []
    loaded = (reports["baseline"], reports["candidate"])
    return compare_code(sides, loaded, suite.overlaid, suite.files)


def _record(
    suite: Suite,
    evidence: Evidence,
    findings: Findings,
    *,
    machine: Facts,
    started: str,
    seconds: float,
) -> GateRecord:
    """Returns the record of a run.

    Raises:
        GateError: No benchmark could be measured on both sides.
    """
    result, judged = conclude(evidence, findings)
    checks = evidence.controls()
    packages = differing(suite.baseline.packages, suite.candidate.packages, suite.built)
    return GateRecord(
        settings=evidence.settings,
        baseline=suite.baseline,
        candidate=suite.candidate,
        machine=machine,
        threads=1,
        started=started,
        seconds=seconds,
        blocks=evidence.blocks,
        comparisons=findings.comparisons,
        added=suite.added,
        removed=suite.removed,
        canary=checks.canary,
        control=checks.control,
        noise=controls.noise_floor(_all_quads(evidence.blocks)),
        explanations=findings.explanations,
        warnings=[*evidence.warnings, *_problems(evidence), *packages],
        result=result,
        exit_code=evidence.settings.exit_code(judged),
        suite=list(suite.names),
        ignored=list(suite.ignored),
        judged=judged,
        flopline=__version__,
    )


def _problems(evidence: Evidence) -> list[str]:
    """Returns what is wrong with the controls; they are not missed where nothing was measured."""
    return evidence.controls().problems if evidence.blocks else []


def _all_quads(blocks: Sequence[Block]) -> list[Quad]:
    quads = []
    for block in blocks:
        for measured in block.quads.values():
            quads.extend(measured)
    return quads


@dataclass(frozen=True)
class Suite:
    """The two sides and their benchmarks, as they were collected.

    Attributes:
        baseline: The version that is compared with.
        candidate: The version that is judged.
        added: Node ids that only the candidate has of its own.
        removed: Node ids that only the baseline has of its own.
        benchmarks: Node ids of the benchmarks that are measured, in the order in which they run.
        losses: Benchmarks that cannot be compared, and why.
        warnings: What a reader must know about the suite, in words.
        overlaid: What was made equal on both sides.
        files: The files of the benchmarks, relative to the sides' trees.
        built: The names of the distributions that were built for the sides.
        imported: What both sides have imported to collect it.
        names: Node ids of the benchmarks of all parts, if this is one of several.
        ignored: Node ids of the benchmarks that are not measured, because the settings say so.
    """

    baseline: SideFacts
    candidate: SideFacts
    added: list[str]
    removed: list[str]
    benchmarks: tuple[str, ...]
    losses: dict[str, Loss]
    warnings: list[str]
    overlaid: Overlaid = field(default_factory=Overlaid)
    files: frozenset[str] = frozenset()
    built: frozenset[str] = frozenset()
    imported: tuple[Imported | None, ...] = ()
    names: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    @property
    def known(self) -> frozenset[str]:
        """Node ids of all benchmarks of the suite, whatever becomes of them."""
        here = (*self.benchmarks, *self.losses, *self.added, *self.removed)
        return frozenset((*here, *self.names, *self.ignored))

    def without_ignored(self, settings: Settings) -> Suite:
        """Returns the suite without the benchmarks that the settings ignore.

        Raises:
            GateError: These are all.
        """
        names = (*self.benchmarks, *self.losses)
        ignored = tuple(name for name in names if settings.rule(name).ignore)
        if ignored and len(ignored) == len(names):
            raise GateError(
                f"the project's pyproject.toml ignores all of {counted(len(names), 'benchmark')} "
                "that these arguments name; measure others, or take `ignore` out"
            )
        left_out = frozenset(ignored)
        return replace(
            self,
            benchmarks=tuple(name for name in self.benchmarks if name not in left_out),
            losses={name: loss for name, loss in self.losses.items() if name not in left_out},
            ignored=ignored,
        )

    def share(self, part: Part) -> Suite:
        """Returns a part of the suite: its benchmarks, also among those that are lost."""
        if part.of == 1:
            return self
        names = (*self.benchmarks, *self.losses)
        share = part.share(names)
        return replace(
            self,
            benchmarks=tuple(name for name in self.benchmarks if name in share),
            losses={name: loss for name, loss in self.losses.items() if name in share},
            names=names,
        )


def share_suite(
    baseline: Side, candidate: Side, settings: Settings, *, patience: Patience | None = None
) -> Suite:
    """Lists what each side has, and gives both sides the benchmark files of one of them.

    With `suite_from` as `each` the sides keep their own files, and a benchmark whose source differs
    between them is lost. The same holds for a file that has both code to measure and benchmarks.
    Only the part that the settings ask for is kept.

    Raises:
        GateError: There is no benchmark.
        WorkerError: A side does not start.
        SuiteError: The suite cannot be compared with these arguments.
        ForeignCodeError: A side has loaded code of the user's checkout.
    """
    before, after = _list_both(baseline, candidate, settings, patience)
    refuse_foreign(baseline, before.loaded)
    refuse_foreign(candidate, after.loaded)
    warnings = [*baseline.notes, *candidate.notes]
    warnings += [*_uncollected("baseline", before), *_uncollected("candidate", after)]

    source, target, chosen = candidate, baseline, after
    if settings.suite_from == "baseline":
        source, target, chosen = baseline, candidate, before
    if not chosen.items:
        errors = "\n".join(error.text for error in chosen.errors)
        raise GateError(f"no benchmark found: {_why_none(settings)}\n{errors[-2000:]}".rstrip())
    warnings.extend(_unpaired(chosen))

    files = frozenset(benchmark.file for benchmark in chosen.items.values())
    overlaid = Overlaid(kept=files)
    if settings.suite_from != "each":
        overlaid = Overlaid()
        if source.tree != target.tree:
            overlaid = overlay(source, target, sorted(files), asv=settings.asv)
    if overlaid.replaced:
        names = listed(overlaid.replaced)
        warnings.append(
            f"both sides ran the benchmark files of the {source.name}, so what is different in "
            f"them on the {target.name} was not measured: {names}"
        )
    benchmarks, losses = _comparable(chosen, before, after, overlaid.kept)
    suite = Suite(
        baseline=_facts(baseline, before),
        candidate=_facts(candidate, after),
        added=[name for name in after.items if name not in before.items],
        removed=[name for name in before.items if name not in after.items],
        benchmarks=benchmarks,
        losses=losses,
        warnings=warnings,
        overlaid=overlaid,
        files=files if settings.suite_from == "each" else frozenset(),
        built=baseline.built | candidate.built,
        imported=(before.imported, after.imported),
    )
    suite = suite.without_ignored(settings)
    missing = unmatched([rule.pattern for rule in settings.rules], suite.known)
    if missing:
        warnings.append(
            f"the project's pyproject.toml asks something of benchmarks that these arguments do "
            f"not name: {listed(missing)}"
        )
    return suite.share(settings.part)


def _why_none(settings: Settings) -> str:
    """Returns why there is no benchmark, and what to do."""
    if settings.asv:
        wanted = (
            " whose name one of the arguments after -- is found in" if settings.arguments else ""
        )
        return (
            f"the asv suite {settings.asv} has no timed benchmark{wanted}; those are time_* and "
            "types of the suite's own that are timed in the same way"
        )
    return (
        "no collected test uses the fixture `benchmark`, and tests that have only the mark of this "
        "name count if --codspeed is among pytest's arguments or pytest-codspeed is installed; "
        "name the suite after --, for example -- tests/benchmarks"
    )


def _unpaired(collected: Collected) -> list[str]:
    """Returns a warning if an asv suite has benchmarks of other kinds."""
    if not collected.unpaired:
        return []
    number = counted(len(collected.unpaired), "benchmark")
    warning = (
        f"{number} of the asv suite could not be compared, because only calls that are timed in "
        "one process can be paired (not track_, mem_, peakmem_ or timeraw_): "
        f"{listed(collected.unpaired)}"
    )
    return [warning]


def _list_both(
    baseline: Side, candidate: Side, settings: Settings, patience: Patience | None
) -> tuple[Collected, Collected]:
    """Lists what each side has of its own.

    If a side does not start, because what the arguments or its configuration name is new, it is
    given the other's suite first.

    Raises:
        WorkerError: A side does not start.
        SuiteError: The suite cannot be compared with these arguments.
    """
    source, target = candidate, baseline
    if settings.suite_from == "baseline":
        source, target = baseline, candidate
    if settings.suite_from != "each" and source.tree != target.tree and not settings.asv:
        share_surroundings(source, target, settings.arguments)
    try:
        before, after = list_benchmarks(
            [baseline, candidate], settings.arguments, patience=patience
        )
    except WorkerError:
        if settings.suite_from == "each" or source.tree == target.tree:
            raise
        (chosen,) = list_benchmarks([source], settings.arguments, patience=patience)
        files = sorted({benchmark.file for benchmark in chosen.items.values()})
        overlay(source, target, files, asv=settings.asv)
        (other,) = list_benchmarks([target], settings.arguments, patience=patience)
        before, after = (other, chosen) if source is candidate else (chosen, other)
    return before, after


def _facts(side: Side, collected: Collected) -> SideFacts:
    return SideFacts(
        name=side.name,
        version=side.version.label,
        commit=side.version.commit,
        python=collected.python,
        packages=collected.packages,
    )


def _uncollected(side: SideName, collected: Collected) -> list[str]:
    """Returns a warning per file that a side could not collect."""
    warnings = []
    for error in collected.errors:
        reason = error.text.strip()[-300:]
        if TAKEN.search(reason):
            reason = f"{reason} ({TAKEN_ADVICE})"
        warnings.append(f"{side}: {error.file} could not be collected: {reason}")
    return warnings


def _comparable(
    chosen: Collected, baseline: Collected, candidate: Collected, kept: Collection[str]
) -> tuple[tuple[str, ...], dict[str, Loss]]:
    """Returns the benchmarks that can be compared, and those whose source differs.

    Args:
        chosen: What the side has whose benchmark files both sides run.
        baseline: What the baseline has.
        candidate: What the candidate has.
        kept: The files of which each side runs its own. Their benchmarks must be the same on both.
    """
    benchmarks = []
    losses = {}
    for name, benchmark in chosen.items.items():
        if benchmark.file not in kept:
            benchmarks.append(name)
        elif name in baseline.items and name in candidate.items:
            if baseline.items[name].digest == candidate.items[name].digest:
                benchmarks.append(name)
            else:
                losses[name] = Loss(None, "collect", "changed", "the benchmark's source changed")
    return tuple(benchmarks), losses


@dataclass(frozen=True)
class Findings:
    """What a run found out.

    Attributes:
        comparisons: What is known about each benchmark.
        explanations: Per benchmark that fails the run, the calls that differ between the sides.
        broken: Why the run did not come to its end; empty if it did.
    """

    comparisons: list[Comparison]
    explanations: dict[str, list[Difference]] = field(default_factory=dict)
    broken: str = ""


def investigate(
    evidence: Evidence,
    budget: Budget,
    schedule: Schedule,
    *,
    measure: Callable[[Round], tuple[Block, ...]],
    explain: Callable[[Sequence[Comparison]], Explained],
) -> Findings:
    """Measures what the plans request, and compares the sides.

    Ctrl-C, and a side that no longer starts, end the measuring. What was measured is kept.

    Args:
        evidence: Receives what is measured.
        budget: The time that the run may take.
        schedule: How much is measured.
        measure: Measures a round of blocks.
        explain: Returns the comparisons, with all calls that are counted, and the calls that differ
            where a benchmark fails the run.

    Raises:
        KeyboardInterrupt: It came before the end of the first block.
        WorkerError: A side does not start for the first block.
    """
    findings = Findings([])
    try:
        for plan in (screen, confirm):
            drive(plan(evidence, budget, schedule), measure, evidence)
        findings = Findings(compare_all(evidence))
        settings = evidence.settings
        if settings.calls or any(fails(row, settings) for row in findings.comparisons):
            findings = Findings(*explain(findings.comparisons))
    except (KeyboardInterrupt, WorkerError) as error:
        if not evidence.blocks:
            raise
        blocks = counted(len(evidence.blocks), "block")
        reason = str(error) or "interrupted"
        comparisons = findings.comparisons or compare_unfinished(evidence, schedule)
        findings = Findings(comparisons, broken=f"{BROKEN} after {blocks}: {reason}")
    return findings


def drive(plan: Plan, measure: Callable[[Round], tuple[Block, ...]], evidence: Evidence) -> None:
    """Measures the rounds that a plan requests, and keeps their blocks as evidence.

    The plan itself decides whether a block is replaced and when the budget ends, because both
    depend on where in the plan that happens.
    """
    requests = next(plan, None)
    while requests is not None:
        blocks = measure(requests)
        for block in blocks:
            evidence.add(block)
        try:
            requests = plan.send(blocks)
        except StopIteration:
            requests = None


def compare_all(evidence: Evidence) -> list[Comparison]:
    """Returns the verdict on every benchmark; those without numbers are not comparable."""
    tests = max(1, tests_for_slower(evidence))
    rows = []
    for name, screened in evidence.screened().items():
        settings = evidence.settings.for_benchmark(name)
        suspect = evidence.suspects.get(name)
        if suspect is None:
            note = ""
            if name in evidence.unaffordable:
                note = _too_expensive(evidence.unaffordable[name])
            row = verdict.compare(name, screened, None, None, settings, tests=tests, note=note)
        else:
            row = _compare_suspect(screened, suspect, evidence, tests)
        rows.append(row)
    for name, loss in evidence.all_losses().items():
        rows.append(Comparison(name, "not comparable", note=why(loss)))
    known = {row.id for row in rows}
    for name in evidence.benchmarks:
        if name not in known:
            note = _too_expensive(evidence.unaffordable.get(name, 0.0))
            rows.append(Comparison(name, "inconclusive", note=note))
    return with_calls(rows, counts_of(evidence.blocks))


def _compare_suspect(
    screened: Screened | None, suspect: Suspect, evidence: Evidence, tests: int
) -> Comparison:
    """Returns the verdict on a suspect.

    If it was suspected by its second clock only, and that suspicion is refuted, its own clock
    decides.

    Args:
        screened: What its own clock has shown in the screen.
        suspect: The suspect.
        evidence: What was measured.
        tests: How many benchmarks are tested for "slower".
    """
    name = suspect.screened.id
    slower = faster = None
    planned = 0
    if suspect.direction == "slower":
        slower = evidence.tested.get(name)
        planned = blocks_still_needed(name, evidence)
    else:
        faster = evidence.tested.get(name)
    row = verdict.compare(
        name, suspect.screened, slower, faster, suspect.settings, tests=tests, planned=planned
    )
    if row.verdict == "unchanged" and suspect.by_second:
        settings = evidence.settings.for_benchmark(name)
        return verdict.compare(name, screened, None, None, settings, tests=tests)
    return row


def _too_expensive(seconds: float) -> str:
    if seconds == 0:
        return "the budget ended before it was measured"
    return (
        f"too slow for the budget: to screen this one takes {seconds:.0f} s more, and half of the "
        "time left is kept to confirm what looks slower"
    )


def compare_unfinished(evidence: Evidence, schedule: Schedule) -> list[Comparison]:
    """Returns what can be said after a run that broke off.

    What was confirmed stays confirmed, and nothing is unchanged before the screen is complete.
    """
    rows = compare_all(evidence)
    blocks = len(evidence.blocks)
    if blocks >= schedule.blocks:
        return rows
    note = f"{blocks} of {schedule.blocks} blocks of the screen were run"
    for number, row in enumerate(rows):
        if row.verdict == "unchanged":
            rows[number] = replace(row, verdict="inconclusive", note=note)
    return rows


def conclude(evidence: Evidence, findings: Findings) -> tuple[str, ExitCode]:
    """Returns the run's answer in words, and its exit code as if nobody asked for less.

    Raises:
        GateError: No benchmark could be measured on both sides, and this is no part of a suite.
    """
    if not evidence.screened() and evidence.settings.part.of == 1:
        lines = [f"  {name}: {why(loss)}" for name, loss in evidence.all_losses().items()]
        raise GateError(
            f"none of {len(evidence.benchmarks)} benchmarks could be measured on both sides:\n"
            + "\n".join(lines[:SHOWN_LOSSES])
        )
    if findings.broken:
        rows = findings.comparisons
        regressed = sum(row.verdict == "regressed" and row.is_binding for row in rows)
        before = f"; before that {counted(regressed, 'confirmed regression')}" if regressed else ""
        return findings.broken + before, ExitCode.COULD_NOT_WORK
    measured: set[str] = set()
    for block in evidence.blocks:
        measured.update(block.quads)
    problems = _problems(evidence)
    rows = findings.comparisons
    return answer(rows, problems, evidence.all_losses(), measured, evidence.settings)
