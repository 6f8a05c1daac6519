"""A gate record as text for a terminal, as Markdown for a pull request, as JUnit for a CI server.

Pure functions of the record; units and colour are chosen here and nowhere else. Ids, labels and messages come from
whatever was benchmarked: they are shown without the power to steer a terminal, a page or a parser.
"""

from __future__ import annotations

import html
import io
import os
import re
import statistics
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rich.console import RenderableType

    from flopline.gate.record import Comparison, Difference, Loss, Record

ORDER = ("regressed", "inconclusive", "not comparable", "improved", "unchanged")
STYLES = {"regressed": "bold red", "inconclusive": "yellow", "not comparable": "magenta", "improved": "green"}
EXITS = {
    0: ("passed", "no regression", "bold green"),
    1: ("regressed", "a regression was confirmed", "bold red"),
    2: ("failed", "the gate could not do its work", "bold red"),
    3: ("inconclusive", "too noisy for an answer", "bold yellow"),
}
"""Per exit code: a word for it, what it means, and its colour."""
UNKNOWN = ("unknown", "not one of the gate's", "bold")
FAILED = 2
NARROWEST = 80
"""Columns below which numbers would be cut off."""
MANY = 10
"""As many unchanged benchmarks, names and losses are listed one by one."""
LONGEST = 200
"""Characters of a name that are shown on a terminal or a page."""
COMMENT = 65_000
"""Characters of a page; GitHub refuses a comment above 65 536."""
HALF_A_DIGIT = 0.5e-3
"""What rounds to nothing where changes have one decimal in percent."""


def text(record: Record, width: int, *, colour: bool = False, verbose: bool = False) -> str:
    """The record for a terminal.

    Args:
        record: A gate record.
        width: Columns to use; 80 at least are used.
        colour: Whether to send a terminal's colour codes.
        verbose: Whether to list every benchmark, and all that lost ones said.
    """
    out = io.StringIO()
    console = Console(
        file=out,
        width=max(width, NARROWEST),
        force_terminal=colour,
        color_system="standard" if colour else None,
        no_color=not colour,
        force_jupyter=False,
        legacy_windows=False,
    )
    for part in _parts(record, None if verbose else MANY):
        console.print(part)
    return "".join(f"{line.rstrip(' ')}\n" for line in out.getvalue().split("\n")[:-1])


def _parts(record: Record, most: int | None) -> Iterator[RenderableType]:
    name, rows, losses = _naming(record), _ordered(record), _losses(record)
    yield Text.assemble(("flopline gate", "bold"), "  ", "  ".join(_head(record)))
    yield _labelled([*_setting(record), *_stages(record)])
    yield ""
    if rows:
        yield _table(rows, name, most)
        yield ""
    for row in rows:
        lines = [*(() if row.id in losses else _evidence(row, record)), *_why(row, record, visible)]
        if lines:
            yield Text.assemble((row.verdict, STYLES.get(row.verdict, "bold")), "  ", name(row.id))
            yield Padding(Text("\n".join(lines)), (0, 0, 1, 4))
    notes = [(label, f"{count}: {_listed(ids, name, most)}") for label, count, ids in _one_sided(record)]
    for lost, (why, said) in list(losses.items())[:most]:
        notes.append(("lost", "\n".join([f"{name(lost)}: {why}", *(f"  {line}" for line in said[-(most or 0) :])])))
    if most and len(losses) > most:
        notes.append(("lost", f"and {len(losses) - most} more"))
    notes += [("warning", "\n".join(_lines(warning))) for warning in record.warnings]
    yield _labelled([*notes, *_guarantee(record)])
    yield _labelled([("result", _result(record))], EXITS.get(record.exit_code, UNKNOWN)[2])


def _labelled(rows: Iterable[tuple[str, str]], style: str = "") -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=9, no_wrap=True, style="bold")
    grid.add_column(overflow="fold", style=style)
    for label, words in rows:
        grid.add_row(label, Text(words))
    return grid


def _table(rows: Sequence[Comparison], name: Callable[[str], str], most: int | None) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("benchmark", overflow="fold", min_width=12)
    for heading in ("change", "95 % interval", "sees", "clock", "verdict"):
        table.add_column(heading, justify="left" if heading in ("clock", "verdict") else "right", no_wrap=True)
    unchanged = _split(rows)[1]
    collapsed = unchanged if most is not None and len(unchanged) > most else []
    for row in rows[: len(rows) - len(collapsed)]:
        change, interval, sees, _, clock = _cells(row)
        style = STYLES.get(row.verdict, "")
        cells = (Text(change, style), Text(interval), Text(sees), Text(clock), Text(row.verdict, style))
        table.add_row(Text(name(row.id)), *cells)
    if collapsed:
        change, sees = _extremes(collapsed)
        clocks = ", ".join(dict.fromkeys(row.clock for row in collapsed if row.clock))
        table.add_row(f"{len(collapsed)} more, at most", change, "", sees, clocks, "unchanged")
    return table


def markdown(record: Record) -> str:
    """The record for a GitHub step summary or comment; unchanged benchmarks are only counted where it gets too long."""
    page = "\n\n".join(_sections(record, full=True))
    return (page if len(page) < COMMENT else "\n\n".join(_sections(record, full=False))) + "\n"


def _sections(record: Record, *, full: bool) -> Iterator[str]:
    name, rows, losses = _naming(record), _ordered(record), _losses(record)
    shown, unchanged = _split(rows)
    yield f"**{EXITS.get(record.exit_code, UNKNOWN)[0]}**: {_prose(_result(record))}"
    yield f"flopline gate: {_prose(', '.join(_head(record)))}"
    if shown:
        yield _pipes(shown, name)
    if unchanged:
        change, sees = _extremes(unchanged)
        summary = f"{len(unchanged)} unchanged: at most {change}, would have seen {sees}"
        yield f"<details><summary>{summary}</summary>\n\n{_pipes(unchanged, name)}\n\n</details>" if full else summary
    for row in rows:
        lines = [*(() if row.id in losses else map(_prose, _evidence(row, record))), *_why(row, record, _code)]
        if lines:
            yield "\n".join([f"- {row.verdict}: {_code(name(row.id))}", *(f"  - {line}" for line in lines)])
    for lost, (why, said) in list(losses.items())[:MANY]:
        words = "\n".join(html.escape(line[-LONGEST:], quote=False) for line in said[-MANY:])
        yield f"<details><summary>lost: <code>{_entities(name(lost))}</code>: {_entities(why)}</summary>"
        yield f"<pre>\n{words}\n</pre>\n\n</details>"
    if len(losses) > MANY:
        yield f"lost: and {len(losses) - MANY} more"
    notes = [
        (label, f"{count}: {_listed(ids, lambda it: _code(name(it)))}") for label, count, ids in _one_sided(record)
    ]
    notes += [("warning", "<br>".join(map(_prose, _lines(warning)))) for warning in record.warnings]
    notes += [(label, _prose(words)) for label, words in (*_setting(record), *_stages(record), *_guarantee(record))]
    if notes:
        yield "\n".join(f"- {label}: {words}" for label, words in notes)


def _pipes(rows: Sequence[Comparison], name: Callable[[str], str]) -> str:
    lines = [
        ["benchmark", "change", "95 % interval", "sees", "time", "clock", "verdict"],
        [":--", "--:", "--:", "--:", "--:", ":--", ":--"],
        *([_code(name(row.id)), *_cells(row), row.verdict] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def junit(record: Record) -> str:
    """The record as JUnit XML: a test case per benchmark, whose time is the baseline's seconds per call."""
    cases = [_case(row, record) for row in _ordered(record)]
    if record.exit_code == FAILED:
        failed = ET.Element("testcase", classname="flopline", name="gate", time=f"{record.seconds:.3f}")
        ET.SubElement(failed, "error", message=visible(record.result)).text = "\n".join(_lines(record.result))
        cases.append(failed)
    suite = ET.Element("testsuite", name="flopline gate", tests=str(len(cases)), time=f"{record.seconds:.3f}")
    for counted, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(counted, str(sum(case.find(kind) is not None for case in cases)))
    suite.set("timestamp", visible(record.started))
    properties = ET.SubElement(suite, "properties")
    for name, value in {
        "baseline": visible(record.baseline.version),
        "candidate": visible(record.candidate.version),
        "detect": record.settings.detect,
        "alpha": record.settings.alpha,
        "noise": record.noise,
        "canary": record.canary,
        "control": record.control,
    }.items():
        ET.SubElement(properties, "property", name=name, value="" if value is None else str(value))
    suite.extend(cases)
    ET.indent(suite)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(suite, encoding="unicode")}\n'


def _case(row: Comparison, record: Record) -> ET.Element:
    file, _, name = row.id.partition("::")
    case = ET.Element("testcase", classname=visible(file), name=visible(name or file), time=f"{row.seconds or 0.0:.9f}")
    change, interval, sees, _, _ = _cells(row)
    said = [" ".join(filter(None, (row.verdict, change, interval))), *_evidence(row, record)]
    said += [f"would have seen {sees}"] if sees else []
    kind = {"regressed": "failure", "inconclusive": "skipped", "not comparable": "skipped"}.get(row.verdict)
    child = ET.SubElement(case, kind, type=row.verdict, message="; ".join(said)) if kind else None
    lines = "\n".join([*said, *_why(row, record, visible)])
    (ET.SubElement(case, "system-out") if child is None else child).text = lines
    return case


def visible(text: str) -> str:
    """The text on one line; what a terminal would obey and no eye would see is spelled out, as in a Python literal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _lines(text: str) -> list[str]:
    return [visible(line) for line in text.splitlines()]


def _entities(text: str) -> str:
    """For Markdown and HTML alike: every ASCII punctuation mark as a character reference, which is never markup."""
    return re.sub(r"[!-/:-@\[-`{-~]", lambda found: f"&#{ord(found[0])};", visible(text))


def _code(text: str) -> str:
    """As inline code, also inside a table: there no pipe may stand, whatever is before it."""
    shown = visible(text)
    return f"`{shown}`" if re.fullmatch(r"[^ `|\\]([^`|\\]*[^ `|\\])?", shown) else f"<code>{_entities(shown)}</code>"


def _prose(text: str) -> str:
    """As running text: no markup, and nobody is mentioned."""
    shown = re.sub(r"[\\`*_{}\[\]<>&|~#$^]", lambda found: f"&#{ord(found[0])};", visible(text))
    return shown.replace("@", "@&#8203;")


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


def _cells(row: Comparison) -> tuple[str, str, str, str, str]:
    """Change, interval, what would have been seen, the baseline's time per call, clock; empty where unknown."""
    return (
        "" if row.change is None else percent(row.change),
        "" if row.low is None or row.high is None else f"[{_points(row.low)}, {_points(row.high)}]",
        "" if row.sees is None else percent(row.sees),
        "" if row.seconds is None else duration(row.seconds),
        row.clock or "",
    )


def _extremes(rows: Sequence[Comparison]) -> tuple[str, str]:
    """The largest change either way, and the largest of what would have been seen."""
    change = max((abs(row.change) for row in rows if row.change is not None), default=0.0)
    return f"±{share(change)}", percent(max((row.sees for row in rows if row.sees is not None), default=0.0))


def _common(record: Record) -> str:
    """What all ids begin with: a file with its colons, or a folder with its slash."""
    ids = [row.id for row in record.comparisons] + record.added + record.removed
    files = sorted({name.partition("::")[0] if "::" in name else "" for name in ids})
    if len(files) == 1 and files[0]:
        return f"{files[0]}::"
    prefix = os.path.commonprefix(files)  # noqa: RUF071  # cut at a slash below
    return prefix[: prefix.rfind("/") + 1]


def _shortened(text: str) -> str:
    shown = visible(text)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST // 2]}...{shown[-LONGEST // 2 :]}"


def _naming(record: Record) -> Callable[[str], str]:
    """How ids are shown: visible, not too long, without what they have in common."""
    common = _common(record)
    return lambda name: _shortened(name.removeprefix(common))


def _ordered(record: Record) -> list[Comparison]:
    """The largest regression first, the largest improvement first of its kind."""

    def place(row: Comparison) -> tuple[int, float]:
        change = row.change or 0.0
        return ORDER.index(row.verdict), change if row.verdict == "improved" else -change

    return sorted(record.comparisons, key=place)


def _split(rows: Sequence[Comparison]) -> tuple[list[Comparison], list[Comparison]]:
    unchanged = [row for row in rows if row.verdict == "unchanged"]
    return [row for row in rows if row.verdict != "unchanged"], unchanged


def _head(record: Record) -> list[str]:
    count = len(record.comparisons)
    return [
        f"baseline {_shortened(record.baseline.version)}",
        f"candidate {_shortened(record.candidate.version)}",
        f"{count} benchmark{'s' * (count != 1)}",
        f"{record.seconds:.0f} s",
    ]


def _setting(record: Record) -> Iterator[tuple[str, str]]:
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


def _stages(record: Record) -> Iterator[tuple[str, str]]:
    for stage, kind in (("screen", "blocks"), ("confirm", "fresh blocks")):
        blocks = [block for block in record.blocks if block.stage == stage]
        quads = max((len(taken) for block in blocks for taken in block.quads.values()), default=0)
        suspicious = sum(row.stage == "confirm" for row in record.comparisons)
        if blocks:
            found = f": {suspicious} suspicious" if suspicious and stage == "screen" else ""
            yield stage, f"{len(blocks)} {kind} x {quads} quads{found}"


def _evidence(row: Comparison, record: Record) -> Iterator[str]:
    """What stands behind a verdict, in words."""
    detect = record.settings.detect
    if row.verdict != "improved" and row.p is not None and row.limit is not None and row.change is not None:
        margin = f"{100 * detect / 3:.2g} %"
        side = f"above +{margin}" if row.change >= 0 else f"below -{margin}"
        yield f"{row.beyond}/{row.blocks} blocks {side}, p = {row.p:.2g} (Holm limit {row.limit:.2g})"
    if row.note:
        yield visible(row.note)
    elif row.verdict == "inconclusive" and row.sigma is not None and row.sees is not None and row.sees > detect:
        yield f"sigma {share(row.sigma)}: can only see {percent(row.sees)} here"


def _why(row: Comparison, record: Record, show: Callable[[str], str]) -> Iterator[str]:
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


def _one_sided(record: Record) -> Iterator[tuple[str, str, list[str]]]:
    if record.added:
        yield "added", f"{len(record.added)} only on the candidate", record.added
    if record.removed:
        yield "removed", f"{len(record.removed)} only on the baseline", record.removed


def _listed(ids: Sequence[str], show: Callable[[str], str], most: int | None = MANY) -> str:
    left = len(ids) - len(ids[:most])
    return ", ".join(map(show, ids[:most])) + (f" and {left} more" if left else "")


def _losses(record: Record) -> dict[str, tuple[str, list[str]]]:
    """Per benchmark with a block that has no numbers of it: why, and what was said. The other's fault is none."""
    found: dict[str, list[Loss]] = {}
    for block in record.blocks:
        for name, loss in block.lost.items():
            found.setdefault(name, []).append(loss)
    told = {}
    for name, losses in found.items():
        own = [loss for loss in losses if loss.outcome != "stopped"]
        if own or not any(name in block.quads for block in record.blocks):
            loss = (own or losses)[0]
            tried = sum(name in block.quads or name in block.lost for block in record.blocks)
            side = f"on the {loss.side}" if loss.side else "on both sides"
            why = f"{visible(loss.outcome)} {side} ({visible(loss.phase)}) in {len(losses)} of {tried} blocks"
            told[name] = why, _lines(loss.text)
    return told


def _guarantee(record: Record) -> Iterator[tuple[str, str]]:
    """What an error rate was promised, and by what; nothing where the gate could not do its work."""
    fresh = sum(block.stage == "confirm" for block in record.blocks)
    if record.exit_code != FAILED:
        tested = (
            f"regressed means that an exact one-sided signed-rank test rejected 'at most "
            f"+{100 * record.settings.detect / 3:.2g} %' at Holm's limit on {fresh} fresh pairs of processes"
            if fresh
            else "regressed takes an exact test on fresh pairs of processes, and none was made"
        )
        yield "guarantee", f"P(any false alarm in this run) <= {100 * record.settings.alpha:g} %: {tested}"


def _result(record: Record) -> str:
    result, (_, meaning, _) = visible(record.result), EXITS.get(record.exit_code, UNKNOWN)
    return f"{result} (exit code {record.exit_code}{'' if result == meaning else f': {meaning}'})"
