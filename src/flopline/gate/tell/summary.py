"""Everything that the reports on a gate run say, as plain strings.

`summarise` turns a record into a `Summary`. The renderers beside this module only escape its
strings for their format and lay them out.

Names of benchmarks, labels of versions and messages come from whatever was benchmarked. Every
string of a summary is therefore one line of printable characters, so that none can steer a
terminal. What is markup in a renderer's format is left to the renderer.
"""

from __future__ import annotations

import math
import shlex
import statistics
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from flopline.characters import visible, visible_lines
from flopline.gate.record import VERDICT_ORDER, ExitCode
from flopline.gate.tell import reasons
from flopline.gate.tell.columns import COLUMNS, largest_change, largest_detectable
from flopline.gate.tell.names import Name, common_prefix, shortened
from flopline.gate.tell.plot import Axis, draw
from flopline.units import counted, percent, share

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Mapping, Sequence

    from flopline.gate.record import (
        BlockValue,
        Comparison,
        GateRecord,
        Settings,
        SideFacts,
        Stage,
        Verdict,
    )
    from flopline.gate.tell.columns import Renderer, ReportColumn
    from flopline.gate.tell.names import Sentence
    from flopline.gate.tell.plot import Frame, Picture

MANY = 10
"""At most this many unchanged benchmarks, names, losses and lines of output are listed."""
FEW = 3
"""At most this many benchmarks are named whose calls were not counted."""

SHORT_COMMIT = 7
"""The characters of a commit that a label of a version has at least."""

NOISE_FLOOR = "How far two timings of the same code lie apart within a quad, the median of all."
STEAL = "The share of processor time that the hypervisor gave to others."
LOAD = "How many programs wanted a processor, the median of the one-minute load averages."
ASLR = "Whether the kernel put programs at random addresses, which moves timings."
CANARY = "The gate's own check: a known slowdown of the worker's own code, timed as the suite is."


@dataclass(frozen=True)
class ReportRow:
    """What the reports say about one benchmark.

    Attributes:
        id: pytest's node id.
        name: The id without what all ids have in common; the middle of a long one is left out.
        verdict: The verdict.
        cells: The text of each column, by the column's name.
        evidence: What the verdict rests on, a sentence each.
        calls: Calls that the candidate makes more or less often, a sentence each.
        more_calls: How many calls more it makes, if that fails the run; otherwise 0.
        is_lost: True if the summary's `lost` says why the benchmark has no numbers.
        is_binding: True if a slowdown of it makes the exit code 1.
        seconds: The median of the baseline's seconds per call, for programs; 0 if it is unknown.
        picture: The change, its interval and the blocks behind it; None if nothing was measured.
        blocks: The blocks in words; empty if there are none.
    """

    id: str
    name: str
    verdict: Verdict
    cells: dict[str, str]
    evidence: tuple[str, ...]
    calls: tuple[Sentence, ...]
    is_lost: bool
    is_binding: bool
    seconds: float
    picture: Picture | None
    blocks: str
    more_calls: int = 0

    @property
    def is_quiet(self) -> bool:
        """Whether a reader need not look at it: it is unchanged, and does not fail the run."""
        return self.verdict == "unchanged" and not self.more_calls


@dataclass(frozen=True)
class Explanation:
    """Why one or several benchmarks have their verdict.

    Attributes:
        verdict: The verdict.
        names: The benchmarks' names, as in `ReportRow`.
        sentences: What stands behind the verdict.
    """

    verdict: Verdict
    names: tuple[str, ...]
    sentences: tuple[Sentence, ...]

    @property
    def title(self) -> str:
        """The names in one line."""
        shown = ", ".join(self.names[:MANY])
        more = len(self.names) - MANY
        return f"{shown} and {more} more" if more > 0 else shown


@dataclass(frozen=True)
class Unchanged:
    """What the reports say about all unchanged benchmarks together.

    Attributes:
        count: How many there are.
        cells: The text of each column, by the column's name.
        words: The same as a sentence.
    """

    count: int
    cells: dict[str, str]
    words: str


@dataclass(frozen=True)
class LostBenchmark:
    """Why a benchmark has no numbers in some block.

    Attributes:
        name: The benchmark's name, as in `ReportRow`.
        why: What happened, on which side, and in how many blocks.
        output: The last lines of its output.
    """

    name: str
    why: str
    output: tuple[str, ...]


@dataclass(frozen=True)
class Note:
    """Something else that a reader must know.

    Attributes:
        label: One word for what it is about.
        sentences: What it says, each on a line of its own.
    """

    label: str
    sentences: tuple[Sentence, ...]


@dataclass(frozen=True)
class Fact:
    """A fact of the run.

    Attributes:
        name: What it is.
        words: What it was in this run.
        meaning: How to read it; empty where the name says it.
    """

    name: str
    words: str
    meaning: str = ""


@dataclass(frozen=True)
class Summary:
    """Everything that a report on a gate run says.

    Attributes:
        heading: What was compared, and how long that took.
        settings: Where the benchmarks are, how noisy it was, and what was measured.
        columns: The columns of the table of benchmarks.
        rows: The benchmarks; the largest regression comes first.
        unchanged: The unchanged ones among them, together.
        explanations: Why they have their verdicts; those with the same reason stand together.
        lost: Benchmarks that have no numbers in some block, at most `MANY`.
        more_lost: How many others there are.
        notes: What only one side has, the warnings, and what the verdicts guarantee.
        result: The run's answer, in lines.
        answer: The run's answer with its exit code and what that means, in one line.
        exit_code: The exit code.
        found: The exit code as it would be if nobody had asked for less.
        started: When the run began.
        seconds: How long it took.
        properties: Facts of the run for programs, as text by name.
        facts: What was compared, how, when and where.
        noise: How noisy it was, and what was measured of which the answer was known.
        frame: What is the same in the pictures of all benchmarks.
        margin: The slowdown that is tolerated.
        detect: The slowdown that must be found.
        added: The names of all benchmarks that only the candidate has.
        removed: The names of all benchmarks that only the baseline has.
    """

    heading: tuple[str, ...]
    settings: tuple[Note, ...]
    columns: tuple[ReportColumn, ...]
    rows: tuple[ReportRow, ...]
    unchanged: Unchanged
    explanations: tuple[Explanation, ...]
    lost: tuple[LostBenchmark, ...]
    more_lost: int
    notes: tuple[Note, ...]
    result: tuple[str, ...]
    answer: str
    exit_code: ExitCode
    found: ExitCode
    started: str
    seconds: float
    properties: dict[str, str]
    facts: tuple[Fact, ...]
    noise: tuple[Fact, ...]
    frame: Frame
    margin: str
    detect: str
    added: tuple[str, ...]
    removed: tuple[str, ...]

    def columns_in(self, renderer: Renderer) -> list[ReportColumn]:
        """Returns the columns that a renderer shows."""
        return [column for column in self.columns if renderer in column.shown_in]


def summarise(
    record: GateRecord, values: Mapping[str, Sequence[BlockValue]] | None = None
) -> Summary:
    """Returns everything that a report on this record says.

    Args:
        record: The record.
        values: The values of the benchmarks' blocks by node id, for reports with pictures.
    """
    values = values or {}
    common = common_prefix([row.id for row in record.comparisons] + record.added + record.removed)
    skipped = reasons.not_applicable(record)
    compared = [row for row in record.comparisons if row.id not in skipped]
    ordered = sorted(compared, key=lambda row: _place(row, record.settings))
    losses = {name: its for name, its in reasons.losses(record).items() if name not in skipped}
    lost = []
    for benchmark in list(losses)[:MANY]:
        name = shortened(benchmark.removeprefix(common))
        why = reasons.behind_loss(benchmark, losses[benchmark], record)
        output = visible_lines(losses[benchmark][0].text)
        lost.append(LostBenchmark(name, why, tuple(output[-MANY:])))
    axis = Axis.of(record.settings, ordered, values.values())
    rows = []
    for row in ordered:
        is_lost, blocks = row.id in losses, values.get(row.id, ())
        rows.append(_row(row, record, common, is_lost=is_lost, blocks=blocks, axis=axis))
    return Summary(
        heading=_heading(record, len(compared)),
        settings=tuple(_settings(record, common)),
        columns=tuple(column for column in COLUMNS if _is_shown(column, rows)),
        rows=tuple(rows),
        unchanged=_unchanged(ordered, record.settings),
        explanations=tuple(_explanations(rows, ordered, record)),
        lost=tuple(lost),
        more_lost=len(losses) - len(lost),
        notes=(*_skipped(skipped, common), *_notes(record, common)),
        result=tuple(visible_lines(record.result)),
        answer=_answer(record),
        exit_code=record.exit_code,
        found=record.found,
        started=visible(record.started),
        seconds=record.seconds,
        properties=_properties(record),
        facts=tuple(_facts(record)),
        noise=tuple(_noise(record)),
        frame=axis.frame(),
        margin=reasons.tolerated(record.settings),
        detect=f"{100 * record.settings.detect:.2g} %",
        added=tuple(shortened(name.removeprefix(common)) for name in record.added),
        removed=tuple(shortened(name.removeprefix(common)) for name in record.removed),
    )


def _is_shown(column: ReportColumn, rows: Sequence[ReportRow]) -> bool:
    return not column.optional or any(row.cells[column.name] for row in rows)


def _place(row: Comparison, settings: Settings) -> tuple[int, bool, float]:
    """Returns a key that sorts the most important benchmark first."""
    change = row.change or 0.0
    if row.verdict != "regressed" and _failing_calls(row, settings):
        return VERDICT_ORDER.index("regressed"), True, -change
    largest_first = change if row.verdict == "improved" else -change
    return VERDICT_ORDER.index(row.verdict), not row.is_binding, largest_first


def _failing_calls(row: Comparison, settings: Settings) -> int:
    """Returns how many calls more a benchmark makes, if that fails the run; otherwise 0."""
    return max(0, row.more_calls) if settings.calls and not row.report_only else 0


def _row(
    row: Comparison,
    record: GateRecord,
    common: str,
    *,
    is_lost: bool,
    blocks: Sequence[BlockValue],
    axis: Axis,
) -> ReportRow:
    differences = record.explanations.get(row.id)
    return ReportRow(
        id=visible(row.id),
        name=shortened(row.id.removeprefix(common)),
        verdict=row.verdict,
        cells={column.name: column.cell(row) for column in COLUMNS},
        evidence=tuple(reasons.behind_verdict(row, record.settings.for_benchmark(row.id))),
        calls=tuple(reasons.calls([(row, differences)])) if differences is not None else (),
        is_lost=is_lost,
        is_binding=row.is_binding and not record.settings.report_only,
        seconds=row.seconds or 0.0,
        more_calls=_failing_calls(row, record.settings),
        picture=draw(row, blocks, axis),
        blocks=_blocks(blocks),
    )


def _blocks(blocks: Sequence[BlockValue]) -> str:
    """Returns in words what a picture shows of the blocks: how many, and how far they reach."""
    words = []
    for stage, name in (("screen", "screen"), ("confirm", "confirming")):
        changes = [math.expm1(block.value) for block in blocks if block.stage == stage]
        if changes:
            count = counted(len(changes), f"{name} block")
            words.append(f"{count} from {percent(min(changes))} to {percent(max(changes))}")
    return ", ".join(words)


def _explanations(
    rows: Sequence[ReportRow], comparisons: Sequence[Comparison], record: GateRecord
) -> list[Explanation]:
    """Returns why benchmarks have their verdicts, in the order of the rows.

    A loss is described elsewhere. Benchmarks with the same verdict and the same sentences stand
    together, so that twenty noisy ones are one paragraph. So do those with the same verdict in
    which the same lines call the same functions more or less often.
    """
    together: dict[Hashable, list[tuple[ReportRow, Comparison]]] = {}
    for row, comparison in zip(rows, comparisons, strict=True):
        evidence = () if row.is_lost else row.evidence
        differences = record.explanations.get(comparison.id)
        key: Hashable = (row.verdict, evidence, row.calls)
        if differences:
            key = (row.verdict, reasons.same_lines(differences))
        if evidence or row.calls:
            together.setdefault(key, []).append((row, comparison))
    return [_explanation(group, record) for group in together.values()]


def _explanation(group: Sequence[tuple[ReportRow, Comparison]], record: GateRecord) -> Explanation:
    """Returns the explanation of benchmarks that stand together."""
    row = group[0][0]
    names = tuple(each.name for each, _ in group)
    evidence = [] if row.is_lost else [(sentence,) for sentence in row.evidence]
    if len({each.evidence for each, _ in group}) > 1:
        evidence = [(f"{each.name}: {'; '.join(each.evidence)}",) for each, _ in group[:MANY]]
    calls = row.calls
    if len({each.calls for each, _ in group}) > 1:
        explained = [(each, record.explanations[each.id]) for _, each in group]
        calls = tuple(reasons.calls(explained))
    return Explanation(row.verdict, names, (*evidence, *calls))


def _unchanged(comparisons: list[Comparison], settings: Settings) -> Unchanged:
    rows = [
        row
        for row in comparisons
        if row.verdict == "unchanged" and not _failing_calls(row, settings)
    ]
    change, detectable = largest_change(rows), largest_detectable(rows)
    words = f"{len(rows)} unchanged: change at most {change}, detectable at most {detectable}"
    if any(row.has_calls for row in rows):
        equal = sum(_is_equal(row) for row in rows)
        words += f", equally many calls in {'all' if equal == len(rows) else equal}"
    return Unchanged(
        count=len(rows),
        cells={column.name: column.together(rows) for column in COLUMNS},
        words=words,
    )


def _skipped(names: list[str], common: str) -> list[Note]:
    """Returns how many benchmarks of an asv suite do not apply, and which."""
    if not names:
        return []
    sentence = (f"{len(names)} do not apply, as they say on both sides: ", *_names(names, common))
    return [Note("skipped", (sentence,))]


def _is_equal(row: Comparison) -> bool:
    """Returns whether exactly as many calls were counted on both sides."""
    return row.has_calls and not row.calls_vary and row.more_calls == 0


def _heading(record: GateRecord, count: int) -> tuple[str, ...]:
    part = record.settings.part
    return (
        f"baseline {shortened(record.baseline.version)}",
        f"candidate {shortened(record.candidate.version)}",
        *([f"part {part} of the suite"] if part.of > 1 else []),
        f"{count} benchmark" if count == 1 else f"{count} benchmarks",
        f"{record.seconds:.0f} s",
    )


def _settings(record: GateRecord, common: str) -> list[Note]:
    """Returns where the ids are, what was asked, how noisy it was, and the blocks of each stage."""
    notes = _parts(record)
    if common:
        notes.append(_note("ids in", shortened(common.removesuffix("::").removesuffix("."))))
    if asked := _asked(record, common):
        notes.append(Note("settings", tuple(asked)))
    if facts := _noise(record):
        notes.append(_note("noise", "   ".join(f"{fact.name} {fact.words}" for fact in facts)))
    if counts := _calls(record, common):
        notes.append(Note("calls", (counts,)))
    if screened := _stage(record, "screen"):
        notes.append(_note("screen", screened))
    if confirmed := _stage(record, "confirm"):
        notes.append(_note("confirm", confirmed))
    return notes


def _facts(record: GateRecord) -> list[Fact]:
    """Returns what was compared, how, when and where."""
    settings = record.settings
    alpha = 100 * settings.alpha
    suite = visible(shlex.join(settings.arguments)) or "all that is collected"
    if settings.part.of > 1:
        suite = f"{suite}; part {settings.part} of the suite"
    asked = f"slowdowns of {share(settings.detect)}, with a false alarm in at most {alpha:.4g} %"
    facts = [
        _side(record.baseline),
        _side(record.candidate),
        Fact("suite", suite),
        Fact("asked", f"{asked} of runs, within {settings.budget:g} s"),
        Fact("measured", f"{_when(record.started)}, for {record.seconds:.0f} s"),
        Fact("machine", _machine(record.machine)),
        Fact("flopline", visible(record.flopline)),
    ]
    return [fact for fact in facts if fact.words]


def _side(side: SideFacts) -> Fact:
    """Returns which version a side is, of which commit, on which Python."""
    words = [shortened(side.version)]
    commit = visible(side.commit)
    if commit and commit[:SHORT_COMMIT] not in words[0]:
        words.append(f"commit {commit}")
    if side.python:
        words.append(f"Python {visible(side.python)}")
    return Fact(side.name, ", ".join(words))


def _when(started: str) -> str:
    """Returns a moment to the minute, as people write it."""
    try:
        moment = datetime.fromisoformat(started)
    except ValueError:
        return visible(started)
    return moment.strftime("%Y-%m-%d %H:%M %Z").strip()


def _asked(record: GateRecord, common: str) -> list[Sentence]:
    """Returns what was asked of some benchmarks in particular, a sentence for each."""
    detects: dict[float, list[str]] = {}
    reported = []
    for row in record.comparisons:
        rule = record.settings.rule(row.id)
        if rule.detect is not None:
            detects.setdefault(rule.detect, []).append(row.id)
        if row.report_only:
            reported.append(row.id)
    sentences: list[Sentence] = []
    for detect, names in sorted(detects.items()):
        sentences.append((f"detect {share(detect)}: ", *_names(names, common)))
    if reported:
        sentences.append(("report-only: ", *_names(reported, common)))
    return sentences


def _calls(record: GateRecord, common: str) -> Sentence:
    """Returns in how many benchmarks both sides make equally many calls, if they were counted."""
    measured = [row for row in record.comparisons if row.change is not None]
    known = [row for row in measured if row.has_calls]
    if not known:
        return ()
    numbers = {
        "more": sum(row.more_calls > 0 for row in known),
        "fewer": sum(row.more_calls < 0 for row in known),
        "varying": sum(row.calls_vary for row in known),
    }
    equal = sum(_is_equal(row) for row in known)
    told = [f"equal in {equal} of {counted(len(measured), 'benchmark')}"]
    told += [f"{word} in {number}" for word, number in numbers.items() if number]
    rest = [row.id for row in measured if not row.has_calls]
    if not rest:
        return (", ".join(told),)
    reason = "slow, or limited in calls"
    return (f"{', '.join(told)}; not counted ({reason}): ", *_names(rest, common, FEW))


def _parts(record: GateRecord) -> list[Note]:
    """Returns of which parts the record was joined, and on which machines if they differ."""
    if not record.parts:
        return []
    total = sum(one.seconds for one in record.parts)
    of = record.parts[0].part.of
    machines: dict[str, list[str]] = {}
    for one in record.parts:
        machines.setdefault(_machine(one.machine), []).append(str(one.part))
    longest = f"the longest took {record.seconds:.0f} s, all of them {total:.0f} s"
    lines = [f"{len(record.parts)} of {of} joined: {longest}"]
    if len(machines) > 1:
        lines.append("the machines differ; every benchmark was compared on one of them:")
        lines += [f"{machine}: {', '.join(parts)}" for machine, parts in machines.items()]
    return [_note("parts", *lines)]


def _machine(facts: Mapping[str, object]) -> str:
    """Returns the facts of a machine on which speed depends most, in words."""
    cpus = facts.get("usable_cores")
    return visible(f"{facts.get('cpu')}, {cpus} CPUs, {facts.get('os')}")


def _note(label: str, *lines: str) -> Note:
    """Returns a note in which nothing is the name of something."""
    return Note(label, tuple((line,) for line in lines))


def _noise(record: GateRecord) -> list[Fact]:
    """Returns how noisy the machine was during the run, and what the controls measured."""
    detect = record.settings.detect
    facts = []
    if record.noise is not None:
        facts.append(Fact("noise floor", share(record.noise), NOISE_FLOOR))
    if record.blocks:
        steals = [block.steal for block in record.blocks if block.steal is not None]
        loads = [block.load for block in record.blocks if block.load is not None]
        steal = share(statistics.fmean(steals)) if steals else "unknown"
        load = f"{statistics.median(loads):.1f}" if loads else "unknown"
        facts += [
            Fact("steal", steal, STEAL),
            Fact("load", load, LOAD),
            Fact("ASLR", _randomisation(record), ASLR),
        ]
    if record.canary is not None:
        measured = f"{percent(detect)} measured as {percent(record.canary)}"
        bounds = f"{percent(detect / 2)} to {percent(2 * detect)}"
        facts.append(Fact("canary", measured, f"{CANARY} Trusted from {bounds}."))
    if record.control is not None:
        bound = share(detect / 2)
        meaning = f"The same, with equal work on both sides. Trusted up to {bound} off zero."
        facts.append(Fact("control", percent(record.control), meaning))
    return facts


def _randomisation(record: GateRecord) -> str:
    """Returns in how many blocks address-space randomisation was on."""
    count = sum(block.randomised for block in record.blocks)
    if count == 0:
        return "off"
    if count == len(record.blocks):
        return "on"
    return f"on in {count} of {len(record.blocks)} blocks"


def _stage(record: GateRecord, stage: Stage) -> str:
    """Returns how many benchmarks a stage measured, in how many blocks and quads each."""
    blocks: dict[str, int] = {}
    quads = []
    for block in record.blocks:
        if block.stage == stage or (block.stage == "again" and stage == "screen"):
            for name, taken in block.quads.items():
                blocks[name] = blocks.get(name, 0) + 1
                quads.append(len(taken))
    if not blocks:
        return ""
    noun = "suspicious benchmark" if stage == "confirm" else "benchmark"
    fresh = "fresh " if stage == "confirm" else ""
    measured = f"{counted(len(blocks), noun)} in {_range(blocks.values())} {fresh}blocks"
    # A record that was joined of parts has no quads.
    return f"{measured}, {_range(quads)} quads a block" if any(quads) else measured


def _range(numbers: Collection[int]) -> str:
    """Returns the smallest and the largest of some numbers: `4`, or `4 to 12`."""
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"


def _notes(record: GateRecord, common: str) -> list[Note]:
    """Returns what only one side has, the warnings, and what the verdicts guarantee."""
    notes = []
    if record.added:
        names = _names(record.added, common)
        notes.append(Note("added", ((f"{len(record.added)} only on the candidate: ", *names),)))
    if record.removed:
        names = _names(record.removed, common)
        notes.append(Note("removed", ((f"{len(record.removed)} only on the baseline: ", *names),)))
    if record.ignored:
        names = _names(record.ignored, common)
        notes.append(Note("ignored", ((f"{len(record.ignored)} not measured: ", *names),)))
    notes += [_note("warning", *visible_lines(warning)) for warning in record.warnings]
    if record.exit_code != ExitCode.COULD_NOT_WORK:
        notes.append(_note("guarantee", _guarantee(record)))
    return notes


def _names(ids: list[str], common: str, most: int = MANY) -> Sentence:
    """Returns names with commas between them, and how many were left out."""
    pieces: list[str] = []
    for benchmark in ids[:most]:
        if pieces:
            pieces.append(", ")
        pieces.append(Name(shortened(benchmark.removeprefix(common))))
    if len(ids) > most:
        pieces.append(f" and {len(ids) - most} more")
    return tuple(pieces)


def _guarantee(record: GateRecord) -> str:
    """Returns the error rate that is promised, and what it does not cover."""
    alpha, of = record.settings.alpha, record.settings.part.of
    run = "this run, of all its parts," if record.parts else "this run"
    share = f", its share of {100 * alpha * of:g} % for all {of} parts" if of > 1 else ""
    margin = reasons.tolerated(record.settings)
    if any(record.settings.rule(row.id).detect is not None for row in record.comparisons):
        margin = f"{margin} (a third of its own detect where it has one)"
    return (
        f"The probability that {run} calls any benchmark slower that does the same work is at most "
        f"{100 * alpha:.4g} %{share}, whatever the noise and however long was measured. A change "
        f"that only moves code or data in memory can make a benchmark slower for good: up to "
        f"{margin} of that is tolerated, and more is called a regression."
    )


def _answer(record: GateRecord) -> str:
    result, code = visible(record.result), record.exit_code
    if record.found != code:
        cause = "report-only" if record.settings.report_only else "inconclusive = pass"
        otherwise = f"otherwise {record.found}: {record.found.meaning}"
        return f"{result} (exit code {code} because of {cause}; {otherwise})"
    if result == code.meaning:
        return f"{result} (exit code {code})"
    return f"{result} (exit code {code}: {code.meaning})"


def _properties(record: GateRecord) -> dict[str, str]:
    numbers = {
        "detect": record.settings.detect,
        "alpha": record.settings.alpha,
        "noise": record.noise,
        "canary": record.canary,
        "control": record.control,
    }
    properties = {
        "baseline": visible(record.baseline.version),
        "candidate": visible(record.candidate.version),
    }
    for name, number in numbers.items():
        properties[name] = "" if number is None else str(number)
    if record.settings.part.of > 1:
        properties["part"] = str(record.settings.part)
    if record.parts:
        properties["parts"] = ", ".join(str(one.part) for one in record.parts)
    return properties
