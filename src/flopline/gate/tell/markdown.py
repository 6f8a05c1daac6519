"""The summary of a gate run as Markdown for a pull request or a GitHub step summary."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from flopline.gate.tell.names import LONGEST, Name
from flopline.gate.tell.summary import MANY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from flopline.gate.tell.names import Sentence
    from flopline.gate.tell.summary import Explanation, LostBenchmark, Note, ReportRow, Summary

COMMENT = 65_000
"""Characters that a page may have. GitHub refuses a comment with more than 65 536."""
RULES = {"left": ":--", "right": "--:"}


def render(summary: Summary) -> str:
    """Returns the summary as Markdown.

    Unchanged benchmarks are only counted if the page would get too long for a comment.
    """
    page = "\n\n".join(_sections(summary, with_unchanged=True))
    if len(page) >= COMMENT:
        page = "\n\n".join(_sections(summary, with_unchanged=False))
    return page + "\n"


def _sections(summary: Summary, *, with_unchanged: bool) -> Iterator[str]:
    yield f"**{summary.found.word}**: {_prose(summary.answer)}"
    yield f"flopline gate: {_prose(', '.join(summary.heading))}"

    different = [row for row in summary.rows if not row.is_quiet]
    unchanged = [row for row in summary.rows if row.is_quiet]
    if different:
        yield _table(different, summary)
    if unchanged and with_unchanged:
        table = _table(unchanged, summary)
        words = summary.unchanged.words
        yield f"<details><summary>{words}</summary>\n\n{table}\n\n</details>"
    elif unchanged:
        yield summary.unchanged.words
    if summary.rows:
        yield _legend(summary)

    for explanation in summary.explanations:
        lines = [f"  - {_sentence(sentence)}" for sentence in explanation.sentences]
        yield "\n".join([f"- {explanation.verdict}: {_names(explanation)}", *lines])
    for lost in summary.lost:
        yield from _lost(lost)
    if summary.more_lost:
        yield f"lost: and {summary.more_lost} more"
    if notes := [*summary.notes, *summary.settings]:
        yield "\n".join(_note(note) for note in notes)


def _table(rows: Iterable[ReportRow], summary: Summary) -> str:
    columns = summary.columns_in("markdown")
    lines = [
        _line("benchmark", [column.name for column in columns]),
        _line(":--", [RULES[column.align] for column in columns]),
    ]
    for row in rows:
        cells = [row.cells[column.name] for column in columns]
        lines.append(_line(_code(row.name), cells))
    return "\n".join(lines)


def _line(first: str, cells: list[str]) -> str:
    return f"| {' | '.join([first, *cells])} |"


def _legend(summary: Summary) -> str:
    explained = [column for column in summary.columns_in("markdown") if column.legend]
    return "\n".join(f"- {column.name}: {_prose(column.legend)}" for column in explained)


def _names(explanation: Explanation) -> str:
    """Returns the names of benchmarks with the same reason, as code, with commas between them."""
    names = ", ".join(_code(name) for name in explanation.names[:MANY])
    more = len(explanation.names) - MANY
    return f"{names} and {more} more" if more > 0 else names


def _lost(lost: LostBenchmark) -> Iterator[str]:
    output = [html.escape(line[-LONGEST:], quote=False) for line in lost.output]
    name, why = _entities(lost.name), _entities(lost.why)
    yield f"<details><summary>lost: <code>{name}</code>: {why}</summary>"
    yield "\n".join(["<pre>", *output, "</pre>\n\n</details>"])


def _note(note: Note) -> str:
    lines = [_sentence(sentence) for sentence in note.sentences]
    return f"- {note.label}: {'<br>'.join(lines)}"


def _sentence(sentence: Sentence) -> str:
    return "".join(_piece(piece) for piece in sentence)


def _piece(piece: str) -> str:
    return _code(piece) if isinstance(piece, Name) else _prose(piece)


def _code(text: str) -> str:
    """Returns a text as inline code, also for a table, where no pipe may stand in a cell.

    Backslashes and backticks do not stand in plain inline code either, nor spaces at its ends.
    """
    if re.fullmatch(r"[^ `|\\]([^`|\\]*[^ `|\\])?", text):
        return f"`{text}`"
    return f"<code>{_entities(text)}</code>"


def _prose(text: str) -> str:
    """Returns a text in which nothing is markup and nobody is mentioned."""
    escaped = re.sub(r"[\\`*_{}\[\]<>&|~#$^]", _entity, text)
    return escaped.replace("@", "@&#8203;")


def _entities(text: str) -> str:
    """Returns a text with a character reference for every ASCII punctuation mark.

    A reference is markup neither in Markdown nor in HTML.
    """
    return re.sub(r"[!-/:-@\[-`{-~]", _entity, text)


def _entity(match: re.Match[str]) -> str:
    return f"&#{ord(match[0])};"
