from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from markdown_it import MarkdownIt

from flopline.characters import visible
from flopline.gate.record import Comparison, ExitCode, GateRecord, Settings
from flopline.gate.tell.markdown import render
from flopline.gate.tell.summary import summarise
from tests.gate.support.make_records import (
    HOSTILE,
    RECORD,
    REGRESSED,
    changed,
    make_unchanged,
    record_of,
    reworded,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markdown_it.token import Token

EXPECTED = Path(__file__).parents[1] / "support" / "report.md"


def markdown(record: GateRecord) -> str:
    return render(summarise(record))


def parsed(page: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page)


def flat(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from token.children or ()


def cells(page: str) -> list[str]:
    """Returns what a reader sees in the cells of the first table's body."""
    tokens = iter(parsed(page))
    shown: list[str] = []
    for token in tokens:
        if token.type == "table_close":
            break
        if token.type == "td_open":
            pieces = next(tokens).children or ()
            words = [piece.content for piece in pieces if piece.type != "html_inline"]
            shown.append("".join(words))
    return shown


def test_the_markdown_says_everything_with_the_result_first() -> None:
    assert markdown(RECORD) == EXPECTED.read_text("utf-8")


@pytest.mark.parametrize(
    ("code", "word"), [(0, "passed"), (1, "regressed"), (2, "failed"), (3, "inconclusive")]
)
def test_the_markdown_begins_with_one_word(code: int, word: str) -> None:
    page = markdown(changed(exit_code=ExitCode(code)))
    assert page.startswith(f"**{word}**: ")


def test_a_page_that_is_only_a_report_begins_with_what_was_found() -> None:
    record = changed(settings=Settings(report_only=True), exit_code=ExitCode(0), judged=ExitCode(1))
    assert markdown(record).startswith("**regressed**: 2 confirmed regressions (exit code 0 ")


@given(HOSTILE)
@example("test_x[a|b]")
@example("test_y[`<script>`]")
@example(r"test_z[\|]")
@example("[link](http://a.b) ![x](y) **bold** _it_ ~~no~~ &amp; </code>")
@example("two\nlines")
def test_any_id_is_one_cell_that_shows_it(name: str) -> None:
    rows = [Comparison(f"b.py::{name}", "inconclusive"), Comparison("a.py::other", "inconclusive")]
    page = markdown(record_of(rows))
    shown = cells(page)
    assert len(shown) == 14
    assert shown[0] == visible(f"b.py::{name}")
    lines = [line for line in page.splitlines() if line.startswith("|")]
    assert [line.count("|") for line in lines] == [8] * 4


@given(HOSTILE)
@example("<script>alert(1)</script>")
@example("</pre></details><img src=x onerror=alert(1)>")
@example("```\n# heading\n- item\n1. item\n| a | b |")
def test_words_from_elsewhere_are_no_markup(words: str) -> None:
    page = markdown(reworded(words))
    allowed = {"details", "summary", "code", "pre", "br"}
    tokens = list(flat(parsed(page)))
    html = [token.content for token in tokens if token.type in ("html_inline", "html_block")]
    tags = re.findall(r"</?([A-Za-z]+)", "\n".join(html))
    assert set(tags) <= allowed
    kinds = {token.type for token in tokens}
    assert kinds.isdisjoint(
        {
            "link_open",
            "image",
            "heading_open",
            "em_open",
            "fence",
            "hr",
            "ordered_list_open",
            "blockquote_open",
        }
    )


@given(HOSTILE)
@example("\x1b]0;title\x07")
def test_nothing_that_steers_a_terminal_survives(words: str) -> None:
    page = markdown(reworded(words))
    assert page.replace("\n", "").isprintable()
    page.encode()


def test_nobody_is_mentioned() -> None:
    page = markdown(changed(warnings=["ask @somebody"], result="see @somebody"))
    assert "@somebody" not in page
    assert page.count("@&#8203;somebody") == 2


def test_a_very_long_id_keeps_its_end() -> None:
    name = f"a.py::test[{'x' * 5000}end]"
    assert "xend]`" in markdown(record_of([make_unchanged(name)]))


def test_a_page_too_long_for_a_comment_only_counts_what_is_unchanged() -> None:
    rows = [make_unchanged(f"a.py::test[{n}]") for n in range(1000)]
    page = markdown(record_of([*rows, REGRESSED]))
    assert len(page) < 65_536
    assert "1000 unchanged: change at most ±0.1 %, detectable at most +1.8 %\n" in page
    assert "test_a[tile]" in page
    assert "test[7]" not in page


def test_a_page_without_a_difference_is_short() -> None:
    record = record_of(
        [make_unchanged("a.py::t")], result="no regression", exit_code=ExitCode.NO_REGRESSION
    )
    page = markdown(record)
    assert page.startswith("**passed**: no regression (exit code 0)\n")
    assert page.count("| benchmark |") == 1
