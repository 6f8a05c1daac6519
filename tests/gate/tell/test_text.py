from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given
from markdown_it import MarkdownIt
from rich.cells import cell_len

from flopline.gate.record import (
    Comparison,
    Difference,
    ExitCode,
    GateRecord,
    Loss,
    Settings,
    SideFacts,
)
from flopline.gate.tell.summary import visible
from flopline.gate.tell.text import junit, markdown, text
from tests.gate.support.records import FILE, HOSTILE, QUAD, RECORD, ROWS, block, of, unchanged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markdown_it.token import Token

TEXT = r"""
flopline gate  baseline origin/main (1a2b3c4)  candidate working tree  8 benchmarks  168 s
ids in     bench/test_matmul.py
noise      noise floor 0.4 %   steal 0.6 %   load 2.7   ASLR off   canary +3.0 % seen as +3.1 %
           control 0.0 %
screen     4 blocks x 3 quads: 4 suspicious
confirm    12 fresh blocks x 6 quads

benchmark        change   95 % interval    sees  clock  verdict
──────────────────────────────────────────────────────────────────────
test_a[loader]  +11.2 %   [+9.9, +12.5]  +1.8 %  wall   regressed
test_a[tile]     +3.2 %    [+2.9, +3.5]  +1.8 %  cpu    regressed
test_a[naive]    +1.9 %    [+0.6, +3.3]  +3.6 %  cpu    inconclusive
test_a[few]                                             inconclusive
test_lost                                               not comparable
test_a[row]     -27.0 %  [-28.0, -26.0]  +1.7 %  timer  improved
test_same[1]     +0.1 %    [-0.3, +0.5]  +1.8 %  cpu    unchanged
test_same[2]     -0.2 %    [-0.6, +0.2]  +1.8 %  cpu    unchanged

regressed  test_a[loader]
    12/12 blocks above +1 %, p = 0.00024 (Holm limit 0.0033)
    no difference in calls

regressed  test_a[tile]
    11/12 blocks above +1 %, p = 0.00049 (Holm limit 0.005)
    +256 calls of Tensor.contiguous from matmul.py:88
    +1 call of len from matmul.py:90 (3 instead of 2)
    -1 call of abs from matmul.py:91

inconclusive  test_a[naive]
    sigma 3.4 %: can only see +3.6 % here

inconclusive  test_a[few]
    too few undisturbed batches

unchanged  test_same[2]
    0/12 blocks below -1 %, p = 0.31 (Holm limit 0.005)

added      1 only on the candidate: test_new
removed    2 only on the baseline: test_old, test_older
lost       test_lost: failed on the candidate (call) in 4 of 4 blocks
             def test_lost():
             >   f()
             E   ValueError: \x1b[31mno
warning    the sides' packages differ: torch 2.12.0 -> 2.13.0
guarantee  P(any false alarm in this run) <= 1 %: regressed means that an exact one-sided
           signed-rank test rejected 'at most +1 %' at Holm's limit on 12 fresh pairs of processes
result     2 confirmed regressions (exit code 1: a regression was confirmed)
"""
MARKDOWN = r"""
**regressed**: 2 confirmed regressions (exit code 1: a regression was confirmed)

flopline gate: baseline origin/main (1a2b3c4), candidate working tree, 8 benchmarks, 168 s

| benchmark | change | 95 % interval | sees | time | clock | verdict |
| :-- | --: | --: | --: | --: | :-- | :-- |
| `test_a[loader]` | +11.2 % | [+9.9, +12.5] | +1.8 % | 1.234 us | wall | regressed |
| `test_a[tile]` | +3.2 % | [+2.9, +3.5] | +1.8 % | 1.234 ms | cpu | regressed |
| `test_a[naive]` | +1.9 % | [+0.6, +3.3] | +3.6 % | 270 ms | cpu | inconclusive |
| `test_a[few]` |  |  |  |  |  | inconclusive |
| `test_lost` |  |  |  |  |  | not comparable |
| `test_a[row]` | -27.0 % | [-28.0, -26.0] | +1.7 % | 3.1 s | timer | improved |

<details><summary>2 unchanged: at most ±0.2 %, would have seen +1.8 %</summary>

| benchmark | change | 95 % interval | sees | time | clock | verdict |
| :-- | --: | --: | --: | --: | :-- | :-- |
| `test_same[1]` | +0.1 % | [-0.3, +0.5] | +1.8 % | 250 us | cpu | unchanged |
| `test_same[2]` | -0.2 % | [-0.6, +0.2] | +1.8 % | 250 us | cpu | unchanged |

</details>

- regressed: `test_a[loader]`
  - 12/12 blocks above +1 %, p = 0.00024 (Holm limit 0.0033)
  - no difference in calls

- regressed: `test_a[tile]`
  - 11/12 blocks above +1 %, p = 0.00049 (Holm limit 0.005)
  - +256 calls of `Tensor.contiguous` from `matmul.py:88`
  - +1 call of `len` from `matmul.py:90` (3 instead of 2)
  - -1 call of `abs` from `matmul.py:91`

- inconclusive: `test_a[naive]`
  - sigma 3.4 %: can only see +3.6 % here

- inconclusive: `test_a[few]`
  - too few undisturbed batches

- unchanged: `test_same[2]`
  - 0/12 blocks below -1 %, p = 0.31 (Holm limit 0.005)

<details><summary>lost: <code>test&#95;lost</code>: failed on the candidate &#40;call&#41; in 4 of 4 blocks</summary>

<pre>
def test_lost():
&gt;   f()
E   ValueError: \x1b[31mno
</pre>

</details>

- added: 1 only on the candidate: `test_new`
- removed: 2 only on the baseline: `test_old`, `test_older`
- warning: the sides' packages differ: torch 2.12.0 -&#62; 2.13.0
- ids in: bench/test&#95;matmul.py
- noise: noise floor 0.4 %   steal 0.6 %   load 2.7   ASLR off   canary +3.0 % seen as +3.1 %   control 0.0 %
- screen: 4 blocks x 3 quads: 4 suspicious
- confirm: 12 fresh blocks x 6 quads
- guarantee: P(any false alarm in this run) &#60;= 1 %: regressed means that an exact one-sided signed-rank test rejected 'at most +1 %' at Holm's limit on 12 fresh pairs of processes
"""  # a paragraph of Markdown is one line


def reworded(words: str) -> GateRecord:
    """The record with these words wherever a benchmark or a user may put words."""
    name = f"x.py::{words}"
    return dataclasses.replace(
        RECORD,
        baseline=SideFacts("baseline", words),
        candidate=SideFacts("candidate", words),
        started=words,
        blocks=[
            block("screen", 3, lost={name: Loss(None, "call", "failed", words)}),
            block("confirm", 6),
        ],
        comparisons=[
            unchanged(name),
            dataclasses.replace(ROWS[5], id=name, note=words),
            Comparison(words, "not comparable", note=words),
        ],
        added=[words],
        removed=[name],
        explanations={name: [Difference(words, words, 0, 1, 1.0)]},
        warnings=[words],
        result=words,
        exit_code=ExitCode(2),
    )


# Text


def test_the_text_says_everything_in_one_table_and_some_lines() -> None:
    assert text(RECORD, 100) == TEXT.removeprefix("\n")


def test_up_to_ten_unchanged_benchmarks_are_listed() -> None:
    found = text(of([unchanged(f"a.py::test[{n}]") for n in range(10)]), 100)
    assert found.count("  unchanged\n") == 10


def test_more_unchanged_benchmarks_are_one_line_with_their_extremes() -> None:
    rows = [unchanged(f"a.py::test[{n}]", -0.001 * n) for n in range(11)]
    rows[3] = dataclasses.replace(rows[3], detectable=0.0234, clock="wall")
    found = text(of([*rows, ROWS[3]]), 100)
    (line,) = re.findall(".* unchanged\n", found)
    assert line.split("  ")[0] == "11 more, at most"
    assert line.split()[4:] == ["±1.0", "%", "+2.3", "%", "cpu,", "wall", "unchanged"]
    assert text(of(rows), 100, verbose=True).count("  unchanged\n") == 11


def test_the_worst_comes_first() -> None:
    rows = [dataclasses.replace(ROWS[5], id=f"a.py::{n}", change=n / 100) for n in (5, 30, 20)]
    found = text(of([*rows, *ROWS[:2], unchanged("a.py::other", 0.009)]), 100)
    assert re.findall(r"^\S+ +([-+][\d.]+) %", found, re.MULTILINE) == [
        "+30.0",
        "+20.0",
        "+5.0",
        "-27.0",
        "+0.9",
        "+0.1",
    ]


def test_colour_changes_nothing_but_the_colours() -> None:
    coloured = text(RECORD, 100, colour=True)
    assert coloured != text(RECORD, 100)
    plain = re.sub(r"\x1b\[[\d;]*m", "", coloured)
    assert [line.rstrip() for line in plain.splitlines()] == text(RECORD, 100).splitlines()


@pytest.mark.parametrize("variable", ["FORCE_COLOR", "NO_COLOR", "COLUMNS"])
def test_the_environment_changes_nothing(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    expected = [text(RECORD, 100, colour=colour) for colour in (True, False)]
    monkeypatch.setenv(variable, "50")
    assert [text(RECORD, 100, colour=colour) for colour in (True, False)] == expected


@pytest.mark.parametrize("width", [0, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal_and_no_number_is_lost(width: int) -> None:
    rows = [dataclasses.replace(row, id=f"{row.id}[{'long-' * 20}語]") for row in ROWS]
    found = text(of(rows), width)
    assert max(map(cell_len, found.splitlines())) <= max(width, 80)
    for number in ("[-28.0, -26.0]", "+11.2 %", "not comparable", "inconclusive", "timer"):
        assert number in found


def test_ids_are_shown_without_the_folder_they_share() -> None:
    found = text(of([unchanged("bench/a.py::test_x"), unchanged("bench/b.py::test[a/b::c]")]), 100)
    assert "ids in     bench/\n" in found
    assert "\na.py::test_x " in found
    assert "\nb.py::test[a/b::c] " in found


def test_ids_of_any_form_are_shown() -> None:
    found = text(
        of([unchanged("x"), unchanged("a/y.py::t"), unchanged("::z"), unchanged("a/b")]), 100
    )
    for name in ("\nx ", "\na/y.py::t ", "\n::z ", "\na/b "):
        assert name in found


def test_a_very_long_id_is_cut_in_its_middle() -> None:
    name = f"a.py::test[{'x' * 5000}end]"
    assert "x" * 300 not in re.sub(r"\s", "", text(of([unchanged(name)]), 100))
    assert "xend]`" in markdown(of([unchanged(name)]))
    assert "x" * 5000 in junit(of([unchanged(name)]))


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (1, "a regression was confirmed"),
        (2, "the gate could not do its work"),
        (3, "too noisy, or too little time, for an answer"),
    ],
)
def test_the_result_is_last_with_the_meaning_of_the_exit_code(code: int, meaning: str) -> None:
    found = text(dataclasses.replace(RECORD, result="so it is", exit_code=ExitCode(code)), 100)
    assert found.splitlines()[-1] == f"result     so it is (exit code {code}: {meaning})"


def test_a_result_that_is_the_meaning_is_not_said_twice() -> None:
    found = text(of([], result="no regression", exit_code=ExitCode(0)), 100)
    assert found.splitlines()[-1] == "result     no regression (exit code 0)"


def test_there_is_no_guarantee_where_the_gate_could_not_do_its_work() -> None:
    record = dataclasses.replace(RECORD, exit_code=ExitCode(2))
    assert "guarantee" not in text(record, 100)
    assert "guarantee" not in markdown(record)


def test_the_guarantee_says_alpha_and_margin_as_they_are() -> None:
    found = text(dataclasses.replace(RECORD, settings=Settings(detect=0.02, alpha=0.005)), 300)
    assert "P(any false alarm in this run) <= 0.5 %" in found
    assert "'at most +0.67 %'" in found


def test_without_a_confirm_stage_the_guarantee_names_no_test() -> None:
    found = text(
        dataclasses.replace(RECORD, blocks=[block("screen", 3)] * 4, exit_code=ExitCode(0)), 300
    )
    assert (
        "<= 1 %: regressed takes an exact test on fresh pairs of processes, and none was made"
        in found
    )


def test_a_run_that_measured_nothing_is_head_and_result() -> None:
    record = of(
        [],
        canary=None,
        control=None,
        noise=None,
        warnings=[],
        result="no benchmark found",
        exit_code=ExitCode(2),
    )
    assert text(record, 100).splitlines() == [
        "flopline gate  baseline origin/main (1a2b3c4)  candidate working tree  0 benchmarks  168 s",
        "",
        "result     no benchmark found (exit code 2: the gate could not do its work)",
    ]


@pytest.mark.parametrize(
    ("randomised", "said"), [(0, "off"), (1, "on in 1 of 4 blocks"), (4, "on")]
)
def test_address_space_randomisation_is_said(randomised: int, said: str) -> None:
    blocks = [block("screen", 3, randomised=n < randomised) for n in range(4)]
    assert f"ASLR {said}   " in text(dataclasses.replace(RECORD, blocks=blocks), 200)


def test_a_loss_names_its_side_and_in_how_many_blocks() -> None:
    lost = [
        {"a.py::x": Loss(None, "setup", "skipped", "no file")},
        {},
        {"a.py::y": Loss("baseline", "call", "hung", "")},
    ]
    blocks = [
        block("screen", 3, lost=one, quads={"a.py::x": [QUAD]} if not one else {}) for one in lost
    ]
    found = text(dataclasses.replace(of([unchanged("a.py::x")]), blocks=blocks), 100)
    assert (
        "lost       x: skipped on both sides (setup) in 1 of 2 blocks\n             no file\n"
        in found
    )
    assert "lost       y: hung on the baseline (call) in 1 of 1 blocks\n" in found


def test_a_benchmark_stopped_by_anothers_fault_is_lost_only_where_it_was_never_measured() -> None:
    stopped = Loss(None, "process", "stopped", "after a.py::x crashed")
    lost = {"a.py::y": stopped, "a.py::z": stopped}
    blocks = [
        block("screen", 3, lost=lost, quads={}),
        block("screen", 3, quads={"a.py::y": [QUAD]}),
    ]
    found = text(dataclasses.replace(of([unchanged("a.py::y")]), blocks=blocks), 100)
    assert re.findall(r"^lost +(\S+):", found, re.MULTILINE) == ["z"]


def test_many_losses_and_long_ones_are_cut_unless_all_is_asked_for() -> None:
    said = "\n".join(f"line {n}" for n in range(30))
    lost = {f"a.py::t{n}": Loss("candidate", "call", "failed", said) for n in range(13)}
    record = dataclasses.replace(of([]), blocks=[block("screen", 3, lost=lost)])
    found, full = text(record, 100), text(record, 100, verbose=True)
    assert (found.count("line 29\n"), found.count("line 20\n"), found.count("line 19\n")) == (
        10,
        10,
        0,
    )
    assert "lost       and 3 more\n" in found
    assert full.count("line 0\n") == full.count("line 29\n") == 13


def test_a_warning_keeps_its_lines() -> None:
    found = text(dataclasses.replace(RECORD, warnings=["two\nlines"]), 100)
    assert "warning    two\n           lines\n" in found


def test_many_names_on_one_side_are_cut() -> None:
    found = text(dataclasses.replace(RECORD, added=list("abcdefghijkl")), 100)
    assert "added      12 only on the candidate: a, b, c, d, e, f, g, h, i, j and 2 more\n" in found


# Markdown


def test_the_markdown_says_everything_with_the_result_first() -> None:
    assert markdown(RECORD) == MARKDOWN.removeprefix("\n")


@pytest.mark.parametrize(
    ("code", "word"), [(0, "passed"), (1, "regressed"), (2, "failed"), (3, "inconclusive")]
)
def test_the_markdown_begins_with_one_word(code: int, word: str) -> None:
    assert markdown(dataclasses.replace(RECORD, exit_code=ExitCode(code))).startswith(
        f"**{word}**: "
    )


def parsed(page: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page)


def cells(page: str) -> list[str]:
    """What a reader sees in the cells of the first table's body."""
    tokens = iter(parsed(page))
    found: list[str] = []
    for token in tokens:
        if token.type == "td_open":
            found.append(
                "".join(
                    child.content
                    for child in next(tokens).children or ()
                    if child.type != "html_inline"
                )
            )
        elif token.type == "table_close":
            break
    return found


@given(HOSTILE)
@example("test_x[a|b]")
@example("test_y[`<script>`]")
@example(r"test_z[\|]")
@example("[link](http://a.b) ![x](y) **bold** _it_ ~~no~~ &amp; </code>")
@example("two\nlines")
def test_any_id_is_one_cell_that_shows_it(name: str) -> None:
    page = markdown(
        of([Comparison(f"b.py::{name}", "inconclusive"), Comparison("a.py::other", "inconclusive")])
    )
    shown = cells(page)
    assert len(shown) == 14
    assert shown[0] == visible(f"b.py::{name}")
    assert [line.count("|") for line in page.splitlines() if line.startswith("|")] == [8] * 4


@given(HOSTILE)
@example("<script>alert(1)</script>")
@example("</pre></details><img src=x onerror=alert(1)>")
@example("```\n# heading\n- item\n1. item\n| a | b |")
def test_words_from_elsewhere_are_no_markup(words: str) -> None:
    page = markdown(reworded(words))
    allowed = {"details", "summary", "code", "pre", "br"}
    html = [
        token.content for token in flat(parsed(page)) if token.type in ("html_inline", "html_block")
    ]
    assert {tag for piece in html for tag in re.findall(r"</?([A-Za-z]+)", piece)} <= allowed
    kinds = {token.type for token in flat(parsed(page))}
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


def flat(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from token.children or ()


def test_nobody_is_mentioned() -> None:
    page = markdown(dataclasses.replace(RECORD, warnings=["ask @somebody"], result="see @somebody"))
    assert "@somebody" not in page
    assert page.count("@&#8203;somebody") == 2


def test_a_page_too_long_for_a_comment_only_counts_what_is_unchanged() -> None:
    rows = [unchanged(f"a.py::test[{n}]") for n in range(1000)]
    page = markdown(of([*rows, ROWS[5]]))
    assert len(page) < 65_536
    assert "1000 unchanged: at most ±0.1 %, would have seen +1.8 %\n" in page
    assert "test_a[tile]" in page
    assert "test[7]" not in page


def test_a_page_without_a_difference_is_short() -> None:
    page = markdown(of([unchanged("a.py::t")], result="no regression", exit_code=ExitCode(0)))
    assert page.startswith("**passed**: no regression (exit code 0)\n")
    assert page.count("| benchmark |") == 1


# JUnit


def suite_of(record: GateRecord) -> ET.Element:
    return ET.fromstring(junit(record))  # noqa: S314  # our own


def test_every_benchmark_is_a_test_case() -> None:
    suite = suite_of(RECORD)
    assert {case.get("classname") for case in suite.iter("testcase")} == {FILE}
    assert [case.get("name") for case in suite.iter("testcase")] == [
        "test_a[loader]",
        "test_a[tile]",
        "test_a[naive]",
        "test_a[few]",
        "test_lost",
        "test_a[row]",
        "test_same[1]",
        "test_same[2]",
    ]
    assert [float(case.get("time", "")) for case in suite.iter("testcase")][:3] == [
        1.234e-6,
        1.234e-3,
        0.27,
    ]


def test_the_suite_counts_its_cases() -> None:
    counts = {
        key: suite_of(RECORD).get(key)
        for key in ("tests", "failures", "errors", "skipped", "time", "timestamp")
    }
    assert counts == {
        "tests": "8",
        "failures": "2",
        "errors": "0",
        "skipped": "3",
        "time": "168.200",
        "timestamp": "2026-03-01T12:00:00+00:00",
    }


def test_a_regression_is_a_failure_that_says_why() -> None:
    failure = suite_of(RECORD).find("testcase[@name='test_a[tile]']/failure")
    assert failure is not None
    assert failure.get("message") == (
        "regressed +3.2 % [+2.9, +3.5]; 11/12 blocks above +1 %, p = 0.00049 (Holm limit 0.005); would have seen +1.8 %"
    )
    assert "+256 calls of Tensor.contiguous from matmul.py:88" in (failure.text or "").splitlines()


def test_what_has_no_verdict_is_skipped_with_a_reason() -> None:
    found = {skipped.get("message") for skipped in suite_of(RECORD).iter("skipped")}
    assert found == {
        "inconclusive +1.9 % [+0.6, +3.3]; sigma 3.4 %: can only see +3.6 % here; would have seen +3.6 %",
        "inconclusive; too few undisturbed batches",
        "not comparable; failed on the candidate (call): ValueError",
    }


def test_what_passes_says_what_it_measured() -> None:
    assert [out.text for out in suite_of(RECORD).iter("system-out")] == [
        "improved -27.0 % [-28.0, -26.0]\nwould have seen +1.7 %",
        "unchanged +0.1 % [-0.3, +0.5]\nwould have seen +1.8 %",
        "unchanged -0.2 % [-0.6, +0.2]\n0/12 blocks below -1 %, p = 0.31 (Holm limit 0.005)\nwould have seen +1.8 %",
    ]


def test_the_properties_are_numbers_for_programs() -> None:
    found = {item.get("name"): item.get("value") for item in suite_of(RECORD).iter("property")}
    assert found == {
        "baseline": "origin/main (1a2b3c4)",
        "candidate": "working tree",
        "detect": "0.03",
        "alpha": "0.01",
        "noise": "0.004",
        "canary": "0.031",
        "control": "-0.0004",
    }


def test_a_gate_that_could_not_do_its_work_is_an_error_of_the_suite() -> None:
    suite = suite_of(of([], result="no benchmark found", exit_code=ExitCode(2), canary=None))
    assert (suite.get("tests"), suite.get("errors")) == ("1", "1")
    (case,) = suite.iter("testcase")
    assert (case.get("classname"), case.get("name")) == ("flopline", "gate")
    assert [error.get("message") for error in case] == ["no benchmark found"]


@given(HOSTILE)
def test_any_words_make_valid_xml_that_gives_them_back(words: str) -> None:
    found = junit(reworded(words))
    suite = ET.fromstring(found)  # noqa: S314  # our own
    assert suite.get("timestamp") == visible(words)
    assert visible(words) in {case.get("name") for case in suite.iter("testcase")}


# All


@given(HOSTILE)
@example("\x1b]0;title\x07")
@example("[bold red]markup[/] :smile: [link=file:///etc]x[/link]")
def test_nothing_that_steers_a_terminal_survives(words: str) -> None:
    record = reworded(words)
    for found in (
        text(record, 100),
        text(record, 100, verbose=True),
        markdown(record),
        junit(record),
    ):
        assert found.replace("\n", "").isprintable()
        found.encode()


def test_markup_of_the_tables_library_is_shown_as_it_is() -> None:
    found = text(reworded("[bold red]x[/] :smile:"), 300)
    assert "candidate [bold red]x[/] :smile:" in found
    assert "\nx.py::[bold red]x[/] :smile: " in found
