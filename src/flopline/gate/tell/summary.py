"""A gate record in words and figures, for whatever format shows them.

Pure functions of the record; units are chosen here and nowhere else. Ids, labels and messages come from whatever was
benchmarked: they are shown without the power to steer a terminal.
"""

from __future__ import annotations

import os
import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from flopline.gate.record import Comparison, Difference, GateRecord, Loss

ORDER = ("regressed", "inconclusive", "not comparable", "improved", "unchanged")
EXITS = {
    0: ("passed", "no regression"),
    1: ("regressed", "a regression was confirmed"),
    2: ("failed", "the gate could not do its work"),
    3: ("inconclusive", "too noisy, or too little time, for an answer"),
}
"""Per exit code: a word for it, and what it means."""
UNKNOWN = ("unknown", "not one of the gate's")
FAILED = 2
MANY = 10
"""As many unchanged benchmarks, names and losses are listed one by one."""
LONGEST = 200
"""Characters of a name that are shown on a terminal or a page."""
HALF_A_DIGIT = 0.5e-3
"""What rounds to nothing where changes have one decimal in percent."""


def visible(text: str) -> str:
    """The text on one line; what a terminal would obey and no eye would see is spelled out, as in a Python literal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def lines(text: str) -> list[str]:
    """A text's lines, visible."""
    return [visible(line) for line in text.splitlines()]


def _points(fraction: float) -> str:
    return "0.0" if abs(fraction) < HALF_A_DIGIT else f"{100 * fraction:+.1f}"


def percent(fraction: float) -> str:
    """A change, signed, with one decimal: `+3.2 %`; what rounds to nothing has no sign."""
    return f"{_points(fraction)} %"


def share(fraction: float) -> str:
    """A proportion: `3.2 %`."""
    return "< 0.1 %" if 0 < fraction < HALF_A_DIGIT else f"{100 * fraction:.1f} %"


def duration(seconds: float) -> str:
    """A time in the unit that suits it, four digits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.4g} {unit}"
    return f"{seconds / 1e-9:.4g} ns"


def cells(row: Comparison) -> tuple[str, str, str, str, str]:
    """Change, interval, what would have been seen, the baseline's time per call, clock; empty where unknown."""
    return (
        "" if row.change is None else percent(row.change),
        "" if row.low is None or row.high is None else f"[{_points(row.low)}, {_points(row.high)}]",
        "" if row.detectable is None else percent(row.detectable),
        "" if row.seconds is None else duration(row.seconds),
        row.clock or "",
    )


def extremes(rows: Sequence[Comparison]) -> tuple[str, str]:
    """The largest change either way, and the largest of what would have been seen."""
    change = max((abs(row.change) for row in rows if row.change is not None), default=0.0)
    return f"±{share(change)}", percent(
        max((row.detectable for row in rows if row.detectable is not None), default=0.0)
    )


def _common(record: GateRecord) -> str:
    """What all ids begin with: a file with its colons, or a folder with its slash."""
    ids = [row.id for row in record.comparisons] + record.added + record.removed
    files = sorted({name.partition("::")[0] if "::" in name else "" for name in ids})
    if len(files) == 1 and files[0]:
        return f"{files[0]}::"
    prefix = os.path.commonprefix(files)  # noqa: RUF071  # cut at a slash below
    return prefix[: prefix.rfind("/") + 1]


def _shortened(text: str) -> str:
    """A name, visible; of a long one the middle is left out."""
    shown = visible(text)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST // 2]}...{shown[-LONGEST // 2 :]}"


def naming(record: GateRecord) -> Callable[[str], str]:
    """How ids are shown: visible, not too long, without what they have in common."""
    common = _common(record)
    return lambda name: _shortened(name.removeprefix(common))


def ordered(record: GateRecord) -> list[Comparison]:
    """The largest regression first, the largest improvement first of its kind."""

    def place(row: Comparison) -> tuple[int, float]:
        change = row.change or 0.0
        return ORDER.index(row.verdict), change if row.verdict == "improved" else -change

    return sorted(record.comparisons, key=place)


def split(rows: Sequence[Comparison]) -> tuple[list[Comparison], list[Comparison]]:
    """What is not unchanged, and what is."""
    unchanged = [row for row in rows if row.verdict == "unchanged"]
    return [row for row in rows if row.verdict != "unchanged"], unchanged


def heading(record: GateRecord) -> list[str]:
    """What was compared, and how long it took."""
    count = len(record.comparisons)
    return [
        f"baseline {_shortened(record.baseline.version)}",
        f"candidate {_shortened(record.candidate.version)}",
        f"{count} benchmark{'s' * (count != 1)}",
        f"{record.seconds:.0f} s",
    ]


def setting(record: GateRecord) -> Iterator[tuple[str, str]]:
    """Where the ids are, how noisy it was, and what the controls say."""
    if common := _common(record):
        yield "ids in", _shortened(common.removesuffix("::"))
    facts = [] if record.noise is None else [f"noise floor {share(record.noise)}"]
    if record.blocks:
        count, loose = len(record.blocks), sum(block.randomised for block in record.blocks)
        facts += [
            f"steal {share(statistics.fmean(block.steal for block in record.blocks))}",
            f"load {statistics.median(block.load for block in record.blocks):.1f}",
            f"ASLR {'on' if loose == count else f'on in {loose} of {count} blocks' if loose else 'off'}",
        ]
    if record.canary is not None:
        facts.append(f"canary {percent(record.settings.detect)} seen as {percent(record.canary)}")
    if record.control is not None:
        facts.append(f"control {percent(record.control)}")
    if facts:
        yield "noise", "   ".join(facts)


def stages(record: GateRecord) -> Iterator[tuple[str, str]]:
    """Blocks and quads of each stage."""
    for stage, kind in (("screen", "blocks"), ("confirm", "fresh blocks")):
        blocks = [block for block in record.blocks if block.stage == stage]
        quads = max((len(taken) for block in blocks for taken in block.quads.values()), default=0)
        suspicious = sum(row.stage == "confirm" for row in record.comparisons)
        if blocks:
            found = f": {suspicious} suspicious" if suspicious and stage == "screen" else ""
            yield stage, f"{len(blocks)} {kind} x {quads} quads{found}"


def evidence(row: Comparison, record: GateRecord) -> Iterator[str]:
    """What stands behind a verdict, in words."""
    detect = record.settings.detect
    if (
        row.verdict != "improved"
        and row.p is not None
        and row.limit is not None
        and row.change is not None
    ):
        margin = f"{100 * detect / 3:.2g} %"
        side = f"above +{margin}" if row.change >= 0 else f"below -{margin}"
        yield f"{row.beyond}/{row.blocks} blocks {side}, p = {row.p:.2g} (Holm limit {row.limit:.2g})"
    if row.note:
        yield visible(row.note)
    elif (
        row.verdict == "inconclusive"
        and row.sigma is not None
        and row.detectable is not None
        and row.detectable > detect
    ):
        yield f"sigma {share(row.sigma)}: can only see {percent(row.detectable)} here"


def reasons(row: Comparison, record: GateRecord, show: Callable[[str], str]) -> Iterator[str]:
    """What the candidate calls more or less often, where that was looked at."""
    found = record.explanations.get(row.id)
    yield from (_called(difference, show) for difference in found or ())
    if found == []:
        yield "no difference in calls"


def _called(difference: Difference, show: Callable[[str], str]) -> str:
    more = difference.candidate - difference.baseline
    counts = f" ({difference.candidate} instead of {difference.baseline})"
    return (
        f"{more:+d} call{'s' * (abs(more) != 1)} of {show(difference.function)} from {show(difference.where)}"
        f"{counts if difference.baseline and difference.candidate else ''}"
    )


def one_sided(record: GateRecord) -> Iterator[tuple[str, str, list[str]]]:
    """What only one side has: a label, a count in words, the ids."""
    if record.added:
        yield "added", f"{len(record.added)} only on the candidate", record.added
    if record.removed:
        yield "removed", f"{len(record.removed)} only on the baseline", record.removed


def listed(ids: Sequence[str], show: Callable[[str], str], most: int | None = MANY) -> str:
    """Ids one by one, up to a number."""
    left = len(ids) - len(ids[:most])
    return ", ".join(map(show, ids[:most])) + (f" and {left} more" if left else "")


def losses(record: GateRecord) -> dict[str, tuple[str, list[str]]]:
    """Per benchmark with a block that has no numbers of it: why, and what was said. The other's fault is none."""
    found: dict[str, list[Loss]] = {}
    for block in record.blocks:
        for name, loss in block.lost.items():
            found.setdefault(name, []).append(loss)
    told = {}
    for name, each in found.items():
        own = [loss for loss in each if loss.outcome != "stopped"]
        if own or not any(name in block.quads for block in record.blocks):
            loss = (own or each)[0]
            tried = sum(name in block.quads or name in block.lost for block in record.blocks)
            side = f"on the {loss.side}" if loss.side else "on both sides"
            why = f"{visible(loss.outcome)} {side} ({visible(loss.phase)}) in {len(each)} of {tried} blocks"
            told[name] = why, lines(loss.text)
    return told


def guarantee(record: GateRecord) -> Iterator[tuple[str, str]]:
    """What an error rate was promised, and by what; nothing where the gate could not do its work."""
    fresh = sum(block.stage == "confirm" for block in record.blocks)
    if record.exit_code != FAILED:
        tested = (
            f"regressed means that an exact one-sided signed-rank test rejected 'at most "
            f"+{100 * record.settings.detect / 3:.2g} %' at Holm's limit on {fresh} fresh pairs of processes"
            if fresh
            else "regressed takes an exact test on fresh pairs of processes, and none was made"
        )
        yield (
            "guarantee",
            f"P(any false alarm in this run) <= {100 * record.settings.alpha:g} %: {tested}",
        )


def answer(record: GateRecord) -> str:
    """The run's answer, with its exit code and what that means."""
    result, (_, meaning) = visible(record.result), EXITS.get(record.exit_code, UNKNOWN)
    return f"{result} (exit code {record.exit_code}{'' if result == meaning else f': {meaning}'})"
