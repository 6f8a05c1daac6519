"""The record of one gate run: what was measured, on what, and what follows from it.

Times are seconds, changes are fractions (0.03 is 3 % slower), log-ratios are natural logarithms of candidate over
baseline. Everything is frozen; `dump` and `load` turn a record into JSON and back.
"""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

import cattrs

from flopline.records import RecordError, parse, strict, write

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["RecordError", "write"]  # of records, and part of this room's own words

SCHEMA_VERSION = 2

SideName = Literal["baseline", "candidate"]
Stage = Literal["screen", "confirm"]
Clock = Literal["cpu", "wall", "timer"]
Verdict = Literal["regressed", "improved", "unchanged", "inconclusive", "not comparable"]


@dataclass(frozen=True)
class Batch:
    """One timed batch of one side.

    Attributes:
        calls: Calls of the benchmarked function in it.
        wall: Seconds on the monotonic clock.
        cpu: CPU seconds of the calling thread.
        process: CPU seconds of the whole process.
        voluntary: Voluntary context switches: waits for sleep, locks, input or other threads.
        involuntary: Involuntary context switches: somebody else took the processor.
        timer: Seconds by the suite's own timer; None where it set none.
    """

    calls: int
    wall: float
    cpu: float
    process: float
    voluntary: int
    involuntary: int
    timer: float | None = None


@dataclass(frozen=True)
class Quad:
    """Batches of both sides in turn: ABBA or BAAB; AB or BA where a benchmark may not be called more often.

    Attributes:
        baseline: The baseline's batches in time order.
        candidate: The candidate's.
    """

    baseline: tuple[Batch, ...]
    candidate: tuple[Batch, ...]


@dataclass(frozen=True)
class Loss:
    """Why a benchmark has no numbers in a block.

    Attributes:
        side: The side at fault; None where both are.
        phase: `setup`, `call`, `teardown`, `collect`, or `process` when the worker itself ended.
        outcome: `failed`, `skipped`, `crashed`, `hung`, `unused` (it never called its fixture) or `stopped` (the
            other side's fault).
        text: The last lines of what it said.
    """

    side: SideName | None
    phase: str
    outcome: str
    text: str


@dataclass(frozen=True)
class Block:
    """One fresh pair of processes; the unit of evidence.

    Attributes:
        stage: `screen` or `confirm`.
        hash_seed: PYTHONHASHSEED of both sides.
        padding: Bytes by which both environments were padded.
        cpu: The CPU both sides were pinned to while they were timed.
        candidate_first: Whether the coin put the candidate into the first slot.
        randomised: Whether address-space randomisation was on.
        seconds: Wall time of the block.
        steal: Share of CPU time that the hypervisor took meanwhile.
        load: One-minute load average at its end.
        quads: Per benchmark.
        wide: Benchmarks timed on all given CPUs, because they wait or use threads.
        canary: Quads in which the candidate's slot did exactly `detect` more work.
        control: Quads with equal work.
        lost: Benchmarks without numbers, and why.
    """

    stage: Stage
    hash_seed: int
    padding: int
    cpu: int
    candidate_first: bool
    randomised: bool
    seconds: float
    steal: float
    load: float
    quads: dict[str, list[Quad]]
    wide: list[str]
    canary: list[Quad]
    control: list[Quad]
    lost: dict[str, Loss]


@dataclass(frozen=True)
class Comparison:
    """What is known about one benchmark.

    Attributes:
        id: pytest's node id.
        verdict: See docs/gate.md.
        change: Estimated relative change of the time per call; None where nothing was measured.
        low: Lower end of the 95 % interval of the change.
        high: Upper end.
        sees: The smallest slowdown that this run would have called regressed with a probability of 90 %.
        seconds: Seconds per call of the baseline, median.
        sigma: Standard deviation of the block values, in log-ratios.
        clock: What decided.
        stage: The last stage it went through.
        blocks: Blocks behind the numbers.
        beyond: Of those, blocks beyond the margin in the direction of the change.
        p: Exact p-value of the confirming test; None where it was not confirmed.
        limit: Holm's limit for that p-value.
        note: What else a reader must know, in words; may be empty.
        planned: Confirming blocks for which a suspicion of slowness called; there are fewer where the budget ended.
    """

    id: str
    verdict: Verdict
    change: float | None = None
    low: float | None = None
    high: float | None = None
    sees: float | None = None
    seconds: float | None = None
    sigma: float | None = None
    clock: Clock | None = None
    stage: Stage | None = None
    blocks: int = 0
    beyond: int = 0
    p: float | None = None
    limit: float | None = None
    note: str = ""
    planned: int = 0


@dataclass(frozen=True)
class Difference:
    """A call site that one side runs more often, per call of the benchmarked function.

    Attributes:
        function: The function called, as a reader would name it.
        where: `file:line` of the calling line, relative to the project.
        baseline: Calls there on the baseline.
        candidate: Calls there on the candidate.
        seconds: Time in the additional calls on the profiled run; rough, for sorting.
    """

    function: str
    where: str
    baseline: int
    candidate: int
    seconds: float


@dataclass(frozen=True)
class Side:
    """One of the two versions.

    Attributes:
        name: `baseline` or `candidate`.
        version: What was asked for, and what it resolved to, in words.
        commit: Full hash, empty where there is none.
        python: Interpreter version.
        packages: Installed distributions, name to version.
    """

    name: SideName
    version: str
    commit: str = ""
    python: str = ""
    packages: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """What was asked of the gate.

    Attributes:
        detect: The relative slowdown that must be found.
        alpha: Probability of any false alarm in the run.
        budget: Seconds the run may take.
        arguments: Arguments for pytest.
        suite_from: Whose benchmark files both sides ran: `candidate`, `baseline` or `each`.
    """

    detect: float = 0.03
    alpha: float = 0.01
    budget: float = 300.0
    arguments: tuple[str, ...] = ()
    suite_from: Literal["candidate", "baseline", "each"] = "candidate"


@dataclass(frozen=True)
class Record:
    """Everything a gate run found; `exit_code` is 0 no regression, 1 regression, 2 could not work, 3 inconclusive."""

    settings: Settings
    baseline: Side
    candidate: Side
    machine: dict[str, Any]
    started: str
    seconds: float
    blocks: list[Block]
    comparisons: list[Comparison]
    added: list[str]
    removed: list[str]
    canary: float | None
    control: float | None
    noise: float | None
    explanations: dict[str, list[Difference]]
    warnings: list[str]
    result: str
    exit_code: int
    flopline: str
    schema_version: int = SCHEMA_VERSION


FIELDS = tuple(field.name for field in fields(Batch))
TIMES = {name: f"{name}_ns" for name in ("wall", "cpu", "process", "timer")}
"""Fields of a batch that are seconds, and their columns in a file."""

CONVERTER = cattrs.Converter()


# A record has tens of thousands of batches, so they are written as columns: how many `batches` a side has in each quad,
# and each field of all of them in time order. Where a column's values are all the same it is that value. Clocks count
# whole nanoseconds, which say the same as seconds in half as many digits; other times keep a thousandth of one.


def _columns(quads: list[Quad]) -> dict[str, Any]:
    taken = {side: [getattr(quad, side) for quad in quads] for side in get_args(SideName)}
    return {"quads": len(quads), **{side: _packed(batches) for side, batches in taken.items()}}


def _packed(taken: list[tuple[Batch, ...]]) -> dict[str, Any]:
    batches = list(itertools.chain.from_iterable(taken))
    columns: dict[str, list[Any]] = {"batches": list(map(len, taken))}
    for name in FIELDS:
        values = [getattr(batch, name) for batch in batches]
        columns[TIMES.get(name, name)] = list(map(_nanoseconds, values)) if name in TIMES else values
    return {name: column[0] if len(set(column)) == 1 else column for name, column in columns.items()}


def _nanoseconds(seconds: float | None) -> float | None:
    if seconds is None or not math.isfinite(seconds):
        return None
    counted = round(seconds * 1e9)
    return counted if counted / 1e9 == seconds else round(seconds * 1e9, 3)


def _quads(columns: dict[str, Any], _: object) -> list[Quad]:
    sides = [_unpacked(columns[side], columns["quads"]) for side in get_args(SideName)]
    return [Quad(*batches) for batches in zip(*sides, strict=True)]


def _unpacked(columns: dict[str, Any], quads: int) -> list[tuple[Batch, ...]]:
    def column(name: str, length: int) -> list[Any]:
        values = columns[name]
        if isinstance(values, list) and len(values) != length:
            raise ValueError(f"{len(values)} {name} where {length} are told")
        return values if isinstance(values, list) else [values] * length

    counts = column("batches", quads)
    taken = {name: column(TIMES.get(name, name), sum(counts)) for name in FIELDS}
    for name in TIMES:
        taken[name] = [None if value is None else value / 1e9 for value in taken[name]]
    batches = itertools.starmap(Batch, zip(*taken.values(), strict=True))
    return [tuple(itertools.islice(batches, count)) for count in counts]


CONVERTER.register_unstructure_hook_func(lambda it: it == list[Quad], _columns)
CONVERTER.register_structure_hook_func(lambda it: it == list[Quad], _quads)


def dump(record: Record) -> str:
    """The record as strict JSON: what is no finite number becomes null."""
    return json.dumps(strict(CONVERTER.unstructure(record)), separators=(",", ":"), allow_nan=False) + "\n"


def save(record: Record, path: Path) -> None:
    """Writes the record's JSON whole or not at all."""
    write(path, dump(record))


def load(path: Path) -> Record:
    """Reads a saved record.

    Raises:
        RecordError: The file is no JSON, no gate record, or of another schema version.
        OSError: The file cannot be read.
    """
    found = parse(path, "flopline gate --json")
    version = found.get("schema_version")
    if version != SCHEMA_VERSION:
        raise RecordError(f"{path}: schema version {version!r}; this flopline reads {SCHEMA_VERSION}")
    try:
        return CONVERTER.structure(found, Record)
    except cattrs.BaseValidationError as error:
        raise RecordError(f"{path} is not a gate record: {'; '.join(cattrs.transform_error(error)[:3])}") from error
