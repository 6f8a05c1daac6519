"""From the records of the parts of a suite to the record of the whole.

`flopline gate --part 2/4` measures a share of a suite. Each part has a quarter of the accepted
error rate, so the parts together have at most the whole of it, and nothing needs to be tested
again: the verdicts of the parts are the verdicts of the whole.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from flopline.gate.judge.answer import answer
from flopline.gate.measure.origin import listed
from flopline.gate.record import ExitCode, GateRecord, Part, PartFacts, Settings
from flopline.gate.run import BROKEN
from flopline.gate.schedule.evidence import Evidence
from flopline.gate.values import block_values
from flopline.records import RecordError
from flopline.units import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from flopline.gate.record import Block, BlockValue, Comparison, Difference, Loss, SideFacts

OWN = ("part", "budget")
"""The settings in which the parts of a run may differ."""


@dataclass(frozen=True)
class Answered:
    """A part, and what follows from its blocks.

    Attributes:
        part: Which part it is.
        record: Its record.
        losses: The benchmarks that could not be compared, and why.
        problems: What is wrong with its controls.
    """

    part: Part
    record: GateRecord
    losses: dict[str, Loss]
    problems: list[str]

    @classmethod
    def of(cls, record: GateRecord) -> Answered:
        """Returns what follows from a record."""
        evidence = Evidence(record.settings, tuple(record.suite))
        for block in record.blocks:
            evidence.add(block)
        problems = evidence.controls().problems if record.blocks else []
        return cls(record.settings.part, record, evidence.all_losses(), problems)

    @property
    def is_broken(self) -> bool:
        """Whether its run did not come to its end."""
        return self.record.result.startswith(BROKEN)

    @property
    def is_regressed(self) -> bool:
        """Whether it has a confirmed regression, and measured rightly what is known."""
        rows = self.record.comparisons
        regressed = any(row.verdict == "regressed" and row.is_binding for row in rows)
        return regressed and not self.problems


def join(records: Iterable[tuple[str, GateRecord]]) -> GateRecord:
    """Returns the record of a whole suite of which parts were measured.

    The batches of the benchmarks stay behind in the records of the parts. Ten thousand benchmarks
    have a gigabyte of them, and no verdict needs them again.

    Args:
        records: The records of the parts, with the names of their files. One whole run is its own
            only part.

    Raises:
        RecordError: They are not parts of one run.
    """
    named = [(name, without_batches(record)) for name, record in records]
    demand_one_run(named)
    ordered = sorted((record for _, record in named), key=lambda one: one.settings.part.number)
    first = ordered[0]
    if first.settings.part.of == 1:
        return first
    parts = [Answered.of(record) for record in ordered]
    settings = first.settings.for_whole()
    rows = _rows(parts)
    missing = _missing(parts)
    result, judged = _answer(parts, rows, missing, settings)
    explanations: dict[str, list[Difference]] = {}
    values: dict[str, list[BlockValue]] = {}
    for record in ordered:
        explanations |= record.explanations
        values |= record.values
    noise = [record.noise for record in ordered if record.noise is not None]
    return GateRecord(
        settings=settings,
        baseline=first.baseline,
        candidate=first.candidate,
        machine=first.machine,
        threads=first.threads,
        started=min(record.started for record in ordered),
        seconds=max(record.seconds for record in ordered),
        blocks=[block for record in ordered for block in record.blocks],
        comparisons=rows,
        added=list(dict.fromkeys(name for record in ordered for name in record.added)),
        removed=list(dict.fromkeys(name for record in ordered for name in record.removed)),
        canary=_farthest([record.canary for record in ordered], settings.detect),
        control=_farthest([record.control for record in ordered], 0.0),
        noise=statistics.median(noise) if noise else None,
        explanations=explanations,
        warnings=[*_unmeasured(parts), *_warnings(ordered), *_environments(ordered)],
        result=result,
        exit_code=settings.exit_code(judged),
        judged=judged,
        ignored=first.ignored,
        parts=[_facts(record) for record in ordered],
        values=values,
        flopline=first.flopline,
    )


def without_batches(record: GateRecord) -> GateRecord:
    """Returns a record that still says what every block measured, but not its batches."""
    blocks = [_without_batches(block) for block in record.blocks]
    return replace(record, blocks=blocks, values=block_values(record))


def _without_batches(block: Block) -> Block:
    return replace(block, quads={name: [] for name in block.quads}, parallel={})


def demand_one_run(named: Sequence[tuple[str, GateRecord]]) -> None:
    """Refuses records that are not different parts of one run.

    Raises:
        RecordError: There is none, two differ in what all parts share, or two are the same part.
    """
    if not named:
        raise RecordError("there is no record to join; give the records of all parts")
    seen: dict[int, str] = {}
    first_name, first = named[0]
    for name, record in named:
        if difference := next(_differences(first, record), None):
            raise RecordError(
                f"{first_name} and {name} are not parts of one run: {difference}; join only what "
                "one pipeline measured"
            )
        part = record.settings.part
        if part.of == 1 and seen:
            raise RecordError(
                f"{first_name} and {name} are no parts, but whole runs with a verdict each; give "
                "the records of runs with --part"
            )
        if part.number in seen:
            raise RecordError(
                f"{seen[part.number]} and {name} are both part {part}; give each part once"
            )
        seen[part.number] = name


def _differences(first: GateRecord, other: GateRecord) -> Iterator[str]:
    """Yields in what two records differ that is the same in all parts of a run."""
    part, another = first.settings.part, other.settings.part
    if part.of != another.of:
        yield f"one is part {part}, the other part {another}"
    if first.flopline != other.flopline:
        yield f"flopline is {first.flopline} and {other.flopline}"
    for here, there in ((first.baseline, other.baseline), (first.candidate, other.candidate)):
        if (here.version, here.commit) != (there.version, there.commit):
            yield f"the {here.name} is {_version(here)} and {_version(there)}"
    for field in fields(Settings):
        one, two = getattr(first.settings, field.name), getattr(other.settings, field.name)
        if field.name not in OWN and one != two:
            yield f"the setting {field.name} is {one!r} and {two!r}"
    only = sorted({*first.suite}.symmetric_difference(other.suite))
    if only:
        yield f"their suites differ in {listed(only)}"


def _version(side: SideFacts) -> str:
    return f"{side.version} {side.commit}".strip()


def _rows(parts: Sequence[Answered]) -> list[Comparison]:
    """Returns the comparisons of all parts in the order of the suite."""
    places = {name: place for place, name in enumerate(parts[0].record.suite)}
    rows = [row for part in parts for row in part.record.comparisons]
    return sorted(rows, key=lambda row: places.get(row.id, len(places)))


def _missing(parts: Sequence[Answered]) -> list[str]:
    """Returns a sentence about the parts that are missing, and one for each that broke off."""
    present = {part.part.number for part in parts}
    of = parts[0].part.of
    missing = [Part(number, of) for number in range(1, of + 1) if number not in present]
    sentences = []
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        sentences.append(f"{_named(missing)} {verb} missing")
    broken = [part for part in parts if part.is_broken]
    return sentences + [f"part {part.part} was {part.record.result}" for part in broken]


def _unmeasured(parts: Sequence[Answered]) -> list[str]:
    """Returns a warning that names the benchmarks of the missing parts."""
    suite = parts[0].record.suite
    measured = frozenset[str]().union(*(part.part.share(suite) for part in parts))
    names = [name for name in suite if name not in measured]
    if not names:
        return []
    return [f"the missing parts have {counted(len(names), 'benchmark')}: {listed(names)}"]


def _answer(
    parts: Sequence[Answered],
    rows: Sequence[Comparison],
    missing: Sequence[str],
    settings: Settings,
) -> tuple[str, ExitCode]:
    """Returns the answer of the whole in words, and its exit code.

    A confirmed regression stays one whatever is missing, and whatever the controls of another part
    measured elsewhere. Otherwise what is missing could hide one, as a lost benchmark could.
    """
    problems = []
    losses: dict[str, Loss] = {}
    measured: set[str] = set()
    for part in parts:
        problems += [f"part {part.part}: {problem}" for problem in part.problems]
        losses |= part.losses
        for block in part.record.blocks:
            measured.update(block.quads)
    if any(part.is_regressed for part in parts):
        problems = []
    result, exit_code = answer(rows, problems, losses, measured, settings)
    if not missing:
        return result, exit_code
    if exit_code == ExitCode.REGRESSION:
        return "; ".join([result, *missing]), exit_code
    return "; ".join([*missing, f"of the rest: {result}"]), ExitCode.COULD_NOT_WORK


def _farthest(measured: Sequence[float | None], known: float) -> float | None:
    """Returns the measurement that is farthest from what is known; None if there is none."""
    values = [value for value in measured if value is not None]
    return max(values, key=lambda value: abs(value - known), default=None)


def _warnings(records: Sequence[GateRecord]) -> list[str]:
    """Returns the warnings, each once, and with its parts if not all of them have it."""
    parts: dict[str, list[Part]] = {}
    for record in records:
        for warning in dict.fromkeys(record.warnings):
            parts.setdefault(warning, []).append(record.settings.part)
    warnings = []
    for warning, having in parts.items():
        said_by_all = len(having) == having[0].of
        warnings.append(warning if said_by_all else f"{_named(having)}: {warning}")
    return warnings


def _environments(records: Sequence[GateRecord]) -> list[str]:
    """Returns a warning for each part whose sides had other packages, or another interpreter.

    The verdicts hold, because both sides of a part had the same, but each for its own environment.
    """
    first = records[0]
    warnings = []
    for record in records[1:]:
        for here, there in ((first.baseline, record.baseline), (first.candidate, record.candidate)):
            differing = sorted(dict(here.packages.items() ^ there.packages.items()))
            if here.python != there.python:
                differing.insert(0, "Python")
            if differing:
                warnings.append(
                    f"the {here.name} of part {record.settings.part} had other versions than that "
                    f"of part {first.settings.part} of {listed(differing)}"
                )
    return warnings


def _facts(record: GateRecord) -> PartFacts:
    return PartFacts(
        part=record.settings.part,
        machine=record.machine,
        started=record.started,
        seconds=record.seconds,
        result=record.result,
        exit_code=record.exit_code,
    )


def _named(parts: Sequence[Part]) -> str:
    """Returns the names of some parts: `part 2/4`, or `parts 1/4, 3/4`."""
    noun = "part" if len(parts) == 1 else "parts"
    return f"{noun} {listed([str(part) for part in parts])}"
