"""A gate record as text for a terminal, as Markdown for a pull request, as JUnit for a CI server.

Pure functions of the record; colour is chosen here and nowhere else. Ids, labels and messages come from
whatever was benchmarked: they are shown without the power to steer a terminal, a page or a parser.
"""

from __future__ import annotations

import html
import io
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from flopline.gate.tell import summary as words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rich.console import RenderableType

    from flopline.gate.record import Comparison, GateRecord

STYLES = {
    "regressed": "bold red",
    "inconclusive": "yellow",
    "not comparable": "magenta",
    "improved": "green",
}
COLOURS = {0: "bold green", 1: "bold red", 2: "bold red", 3: "bold yellow"}
"""Per exit code."""
NARROWEST = 80
"""Columns below which numbers would be cut off."""
COMMENT = 65_000
"""Characters of a page; GitHub refuses a comment above 65 536."""


def text(record: GateRecord, width: int, *, colour: bool = False, verbose: bool = False) -> str:
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
    for part in _parts(record, None if verbose else words.MANY):
        console.print(part)
    return "".join(f"{line.rstrip(' ')}\n" for line in out.getvalue().split("\n")[:-1])


def _parts(record: GateRecord, most: int | None) -> Iterator[RenderableType]:
    name, rows, losses = words.naming(record), words.ordered(record), words.losses(record)
    yield Text.assemble(("flopline gate", "bold"), "  ", "  ".join(words.heading(record)))
    yield _labelled([*words.setting(record), *words.stages(record)])
    yield ""
    if rows:
        yield _table(rows, name, most)
        yield ""
    for row in rows:
        lines = [
            *(() if row.id in losses else words.evidence(row, record)),
            *words.reasons(row, record, words.visible),
        ]
        if lines:
            yield Text.assemble((row.verdict, STYLES.get(row.verdict, "bold")), "  ", name(row.id))
            yield Padding(Text("\n".join(lines)), (0, 0, 1, 4))
    notes = [
        (label, f"{count}: {words.listed(ids, name, most)}")
        for label, count, ids in words.one_sided(record)
    ]
    for lost, (why, said) in list(losses.items())[:most]:
        notes.append(
            (
                "lost",
                "\n".join(
                    [f"{name(lost)}: {why}", *(f"  {line}" for line in said[-(most or 0) :])]
                ),
            )
        )
    if most and len(losses) > most:
        notes.append(("lost", f"and {len(losses) - most} more"))
    notes += [("warning", "\n".join(words.lines(warning))) for warning in record.warnings]
    yield _labelled([*notes, *words.guarantee(record)])
    yield _labelled([("result", words.answer(record))], COLOURS.get(record.exit_code, "bold"))


def _labelled(rows: Iterable[tuple[str, str]], style: str = "") -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=9, no_wrap=True, style="bold")
    grid.add_column(overflow="fold", style=style)
    for label, told in rows:
        grid.add_row(label, Text(told))
    return grid


def _table(rows: Sequence[Comparison], name: Callable[[str], str], most: int | None) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("benchmark", overflow="fold", min_width=12)
    for heading in ("change", "95 % interval", "sees", "clock", "verdict"):
        table.add_column(
            heading, justify="left" if heading in ("clock", "verdict") else "right", no_wrap=True
        )
    unchanged = words.split(rows)[1]
    collapsed = unchanged if most is not None and len(unchanged) > most else []
    for row in rows[: len(rows) - len(collapsed)]:
        change, interval, sees, _, clock = words.cells(row)
        style = STYLES.get(row.verdict, "")
        cells = (
            Text(change, style),
            Text(interval),
            Text(sees),
            Text(clock),
            Text(row.verdict, style),
        )
        table.add_row(Text(name(row.id)), *cells)
    if collapsed:
        change, sees = words.extremes(collapsed)
        clocks = ", ".join(dict.fromkeys(row.clock for row in collapsed if row.clock))
        table.add_row(f"{len(collapsed)} more, at most", change, "", sees, clocks, "unchanged")
    return table


def markdown(record: GateRecord) -> str:
    """The record for a GitHub step summary or comment; unchanged benchmarks are only counted where it gets too long."""
    page = "\n\n".join(_sections(record, full=True))
    return (page if len(page) < COMMENT else "\n\n".join(_sections(record, full=False))) + "\n"


def _sections(record: GateRecord, *, full: bool) -> Iterator[str]:
    name, rows, losses = words.naming(record), words.ordered(record), words.losses(record)
    shown, unchanged = words.split(rows)
    yield f"**{words.EXITS.get(record.exit_code, words.UNKNOWN)[0]}**: {_prose(words.answer(record))}"
    yield f"flopline gate: {_prose(', '.join(words.heading(record)))}"
    if shown:
        yield _pipes(shown, name)
    if unchanged:
        change, sees = words.extremes(unchanged)
        summary = f"{len(unchanged)} unchanged: at most {change}, would have seen {sees}"
        yield (
            f"<details><summary>{summary}</summary>\n\n{_pipes(unchanged, name)}\n\n</details>"
            if full
            else summary
        )
    for row in rows:
        lines = [
            *(() if row.id in losses else map(_prose, words.evidence(row, record))),
            *words.reasons(row, record, _code),
        ]
        if lines:
            yield "\n".join(
                [f"- {row.verdict}: {_code(name(row.id))}", *(f"  - {line}" for line in lines)]
            )
    for lost, (why, said) in list(losses.items())[: words.MANY]:
        end = "\n".join(
            html.escape(line[-words.LONGEST :], quote=False) for line in said[-words.MANY :]
        )
        yield f"<details><summary>lost: <code>{_entities(name(lost))}</code>: {_entities(why)}</summary>"
        yield f"<pre>\n{end}\n</pre>\n\n</details>"
    if len(losses) > words.MANY:
        yield f"lost: and {len(losses) - words.MANY} more"
    notes = [
        (label, f"{count}: {words.listed(ids, lambda it: _code(name(it)))}")
        for label, count, ids in words.one_sided(record)
    ]
    notes += [
        ("warning", "<br>".join(map(_prose, words.lines(warning)))) for warning in record.warnings
    ]
    notes += [
        (label, _prose(told))
        for label, told in (*words.setting(record), *words.stages(record), *words.guarantee(record))
    ]
    if notes:
        yield "\n".join(f"- {label}: {told}" for label, told in notes)


def _pipes(rows: Sequence[Comparison], name: Callable[[str], str]) -> str:
    lines = [
        ["benchmark", "change", "95 % interval", "sees", "time", "clock", "verdict"],
        [":--", "--:", "--:", "--:", "--:", ":--", ":--"],
        *([_code(name(row.id)), *words.cells(row), row.verdict] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def junit(record: GateRecord) -> str:
    """The record as JUnit XML: a test case per benchmark, whose time is the baseline's seconds per call."""
    cases = [_case(row, record) for row in words.ordered(record)]
    if record.exit_code == words.FAILED:
        failed = ET.Element(
            "testcase", classname="flopline", name="gate", time=f"{record.seconds:.3f}"
        )
        ET.SubElement(failed, "error", message=words.visible(record.result)).text = "\n".join(
            words.lines(record.result)
        )
        cases.append(failed)
    suite = ET.Element(
        "testsuite", name="flopline gate", tests=str(len(cases)), time=f"{record.seconds:.3f}"
    )
    for counted, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(counted, str(sum(case.find(kind) is not None for case in cases)))
    suite.set("timestamp", words.visible(record.started))
    properties = ET.SubElement(suite, "properties")
    for name, value in {
        "baseline": words.visible(record.baseline.version),
        "candidate": words.visible(record.candidate.version),
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


def _case(row: Comparison, record: GateRecord) -> ET.Element:
    file, _, name = row.id.partition("::")
    case = ET.Element(
        "testcase",
        classname=words.visible(file),
        name=words.visible(name or file),
        time=f"{row.seconds or 0.0:.9f}",
    )
    change, interval, sees, _, _ = words.cells(row)
    said = [" ".join(filter(None, (row.verdict, change, interval))), *words.evidence(row, record)]
    said += [f"would have seen {sees}"] if sees else []
    kind = {"regressed": "failure", "inconclusive": "skipped", "not comparable": "skipped"}.get(
        row.verdict
    )
    child = ET.SubElement(case, kind, type=row.verdict, message="; ".join(said)) if kind else None
    lines = "\n".join([*said, *words.reasons(row, record, words.visible)])
    (ET.SubElement(case, "system-out") if child is None else child).text = lines
    return case


def _entities(text: str) -> str:
    """For Markdown and HTML alike: every ASCII punctuation mark as a character reference, which is never markup."""
    return re.sub(r"[!-/:-@\[-`{-~]", lambda found: f"&#{ord(found[0])};", words.visible(text))


def _code(text: str) -> str:
    """As inline code, also inside a table: there no pipe may stand, whatever is before it."""
    shown = words.visible(text)
    return (
        f"`{shown}`"
        if re.fullmatch(r"[^ `|\\]([^`|\\]*[^ `|\\])?", shown)
        else f"<code>{_entities(shown)}</code>"
    )


def _prose(text: str) -> str:
    """As running text: no markup, and nobody is mentioned."""
    shown = re.sub(
        r"[\\`*_{}\[\]<>&|~#$^]", lambda found: f"&#{ord(found[0])};", words.visible(text)
    )
    return shown.replace("@", "@&#8203;")
