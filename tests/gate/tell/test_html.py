"""The page of a gate run, as text and as a browser shows it."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given

from flopline.gate.record import BlockValue, Difference, ExitCode, GateRecord, Part
from flopline.gate.tell import html
from flopline.gate.tell.summary import summarise
from tests.gate.support.make_records import (
    HOSTILE,
    IMPROVED,
    NOISY,
    RECORD,
    REGRESSED,
    changed,
    make_unchanged,
    record_of,
    reworded,
)
from tests.support import browser

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VALUES = {
    REGRESSED.id: [
        *(BlockValue("screen", 0.03 + 0.001 * number) for number in range(4)),
        *(BlockValue("confirm", 0.028 + 0.001 * number) for number in range(12)),
    ],
    NOISY.id: [BlockValue("screen", value) for value in (-0.04, 0.01, 0.02, 0.3)],
}
"""Block values of two benchmarks of the record in which there is something of everything."""
HUGE = replace(REGRESSED, id="a.py::huge", change=477.431, low=455.664, high=500.237)
"""A regression whose numbers need much room."""
VOID = {"meta", "link", "br", "col"}
WICKED = (
    "<script>document.title = 'taken'</script>",
    "\"'><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}</style>",
    "\x1b[31m\u202eright to left\u2066 \u05d0\u05d1",
    "\ud800\0",
    "x" * 5000,
)
"""Words of a suite that would do harm, or take room, on a careless page."""


class Seen(HTMLParser):
    """What stands in a page: its tags with their attributes, and its text by the tags around it.

    Attributes:
        tags: The tags in their order.
        texts: The texts, each with the tags that are open around it.
        open: The tags that are open.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[tuple[str, ...], str]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((tuple(self.open), data))

    def inside(self, tag: str) -> list[str]:
        """Returns the texts inside the tags of a kind, those of one element together."""
        return [text for around, text in self.texts if tag in around and text.strip()]


def page_of(record: GateRecord = RECORD) -> str:
    return html.render(summarise(record, VALUES))


def text_of(page: str) -> str:
    """Returns what a reader sees."""
    words = [text for around, text in Seen(page).texts if "style" not in around]
    return " ".join(" ".join(words).split())


# What the page says


@pytest.mark.parametrize("code", ExitCode)
def test_the_page_begins_with_the_answer_and_its_word(code: ExitCode) -> None:
    heading = " ".join(Seen(page_of(changed(exit_code=code))).inside("h1"))
    assert re.match(rf"{code.word} *: 2 confirmed regressions \(exit code {int(code)}", heading)


def test_the_title_says_the_answer_and_the_versions() -> None:
    (title,) = Seen(page_of()).inside("title")
    assert title == "regressed: working tree against origin/main (1a2b3c4), flopline gate"


def test_what_was_compared_when_and_where_stands_at_the_top() -> None:
    before = replace(RECORD.baseline, commit="1a2b3c4d" * 5, python="3.12.1")
    machine = {"cpu": "EPYC", "usable_cores": 2, "os": "Linux"}
    shown = text_of(page_of(changed(baseline=before, machine=machine)))
    top = shown.partition("Noise of the machine")[0]
    for words in (
        "baseline origin/main (1a2b3c4), Python 3.12.1",
        "candidate working tree",
        "2026-03-01 12:00 UTC, for 168 s",
        "EPYC, 2 CPUs, Linux",
        "slowdowns of 3.0 %, with a false alarm in at most 1 % of runs, within 300 s",
    ):
        assert words in top


def test_every_benchmark_has_a_row_with_its_verdict_and_numbers() -> None:
    bodies = re.findall("<tbody.*?</tbody>", page_of(), re.DOTALL)
    for row in summarise(RECORD).rows:
        (body,) = (body for body in bodies if f"<code>{row.name}</code></th>" in body)
        words = text_of(body)
        for said in (*row.cells.values(), *row.evidence):
            assert said in words


def test_the_groups_come_in_the_order_of_a_report_and_unchanged_is_folded() -> None:
    page = page_of()
    anchors = re.findall(r'<section id="([\w-]+)"', page)
    verdicts = ["regressed", "inconclusive", "not-comparable", "improved", "unchanged"]
    assert anchors == [*verdicts, "lost", "added", "removed", "noise", "reading"]
    unchanged = page.partition('<section id="unchanged"')[2].partition("</section>")[0]
    assert unchanged.index("<details>") < unchanged.index("<table")
    regressed = page.partition('<section id="regressed"')[2].partition("</section>")[0]
    assert regressed.index("<table") < regressed.find("<details>") % len(regressed)


def test_calls_stand_under_their_benchmark_and_others_are_counted() -> None:
    calls = [Difference(f"f{n}", f"a.py:{n}", 0, 1, 1.0) for n in range(8)]
    record = replace(record_of([REGRESSED, NOISY]), explanations={REGRESSED.id: calls})
    section = page_of(record).partition('<section id="regressed"')[2].partition("</section>")[0]
    assert "<code>f4</code> from <code>a.py:4</code>" in section
    assert "and additional calls from 3 other lines" in section


def test_the_noise_is_a_table_that_says_what_it_means() -> None:
    shown = text_of(page_of()).partition("Noise of the machine")[2]
    for words in (
        "noise floor 0.4 % How far two timings of the same code lie apart",
        "steal 0.6 % The share of processor time",
        "load 2.7 How many programs wanted a processor",
        "canary +3.0 % measured as +3.1 % The gate's own check",
        "Trusted from +1.5 % to +6.0 %.",
        "control 0.0 % The same, with equal work on both sides. Trusted up to 1.5 % off zero.",
    ):
        assert words in shown


def test_the_guarantee_the_warnings_and_what_is_lost_are_said() -> None:
    shown = text_of(page_of())
    for note in summarise(RECORD).notes:
        if note.label in ("guarantee", "warning"):
            assert "".join("".join(sentence) for sentence in note.sentences) in shown
    assert "test_lost failed on the candidate (call) in 4 of 4 blocks" in shown
    assert r"E ValueError: \x1b[31mno" in shown
    assert "1 added" in shown
    assert "test_old test_older" in shown


def test_a_run_that_could_not_work_is_a_page_too() -> None:
    record = record_of(
        [], result="broken off", exit_code=ExitCode.COULD_NOT_WORK, canary=None, control=None
    )
    shown = text_of(page_of(replace(record, noise=None, warnings=[])))
    assert "failed : broken off (exit code 2" in shown
    assert "Nothing was measured." in shown
    assert "guarantee" not in shown


def test_a_part_says_that_it_is_one() -> None:
    settings = RECORD.settings.for_part(Part(2, 4))
    assert "part 2/4 of the suite" in text_of(page_of(changed(settings=settings)))


def test_the_dots_of_a_benchmark_are_told_in_words_too() -> None:
    labels = [attributes.get("aria-label") for _, attributes in Seen(page_of()).tags]
    assert (
        "4 screen blocks from +3.0 % to +3.4 %, 12 confirming blocks from +2.8 % to +4.0 %"
    ) in labels


# What the page is


def test_the_page_asks_nobody_for_anything_and_has_no_script() -> None:
    seen = Seen(page_of())
    assert "script" not in {tag for tag, _ in seen.tags}
    for _, attributes in seen.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "action", "data"):
            assert (attributes.get(name) or "#").startswith(("#", "data:,"))
    (policy,) = [a["content"] for _, a in seen.tags if "http-equiv" in a]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def test_every_head_of_a_table_says_what_it_is_the_head_of() -> None:
    seen = Seen(page_of())
    heads = [attributes for tag, attributes in seen.tags if tag == "th"]
    assert heads
    assert {attributes.get("scope") for attributes in heads} == {"row", "col"}
    assert seen.open == []


def test_five_hundred_benchmarks_are_a_page_of_a_megabyte_at_most() -> None:
    rows = [make_unchanged(f"a.py::test_of_some_length[{n}]", n / 1e5) for n in range(500)]
    values = {row.id: [BlockValue("screen", n / 1e3) for n in range(8)] for row in rows}
    page = html.render(summarise(record_of(rows), values))
    assert page.count('<th scope="row"') >= 500
    assert len(page.encode()) < 1e6


def test_of_thousands_of_unchanged_benchmarks_the_further_ones_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(html, "MOST_UNCHANGED", 20)
    rows = [make_unchanged(f"a.py::test[{n}]") for n in range(27)]
    page = html.render(summarise(record_of([*rows, REGRESSED])))
    assert "And 7 more" in text_of(page)
    assert f"{len(rows)} unchanged" in text_of(page)


@given(HOSTILE)
@example("<script>alert(1)</script>")
@example("</code></title></style><img src=x onerror=alert(1)>")
@example("' onmouseover='x")
@example('" style="x')
def test_words_from_elsewhere_are_no_markup(words: str) -> None:
    plain = {tag for tag, _ in Seen(page_of(reworded("x"))).tags}
    seen = Seen(page_of(reworded(words)))
    assert {tag for tag, _ in seen.tags} <= plain
    names = {name for _, attributes in seen.tags for name in attributes}
    assert not [name for name in names if name.startswith("on")]
    assert seen.open == []


@given(HOSTILE)
@example("\x1b]0;title\x07")
@example("\u202eflip\u2066")
@example("\ud800")
def test_nothing_that_turns_or_hides_text_survives(words: str) -> None:
    page = page_of(reworded(words))
    assert page.replace("\n", "").isprintable()
    page.encode()


def test_a_very_long_id_is_shown_without_its_middle() -> None:
    page = page_of(record_of([make_unchanged(f"a.py::test[{'x' * 500}end]")]))
    assert "xxxend]</code>" in page
    assert "x" * 300 not in re.sub(r'title="[^"]*"', "", page)


# What a browser shows


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Page]:
    with browser.page(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page in which there is something of everything, and every word is wicked."""
    wicked = [
        replace(row, id=f"{row.id}{words}", note=words)
        for words in WICKED
        for row in (REGRESSED, NOISY, IMPROVED)
    ]
    record = changed(
        comparisons=[*RECORD.comparisons, *wicked, HUGE],
        added=list(WICKED),
        removed=list(WICKED),
        warnings=list(WICKED),
        explanations=RECORD.explanations
        | {row.id: [Difference(row.note, row.note, 0, 1, 1.0)] for row in wicked},
        machine={"cpu": WICKED[0], "os": WICKED[-1]},
        result=WICKED[0],
    )
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(page_of(record), "utf-8")
    return path


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 800, 1280], ids=["phone", "tablet", "desk"])
def test_a_browser_shows_it_whole_and_asks_for_nothing(
    tab: browser.Page, written: Path, width: int, *, dark: bool
) -> None:
    tab.open(written.as_uri(), width=width, dark=dark)
    tab.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate("document.title").startswith("regressed: ")
    assert tab.complaints() == []
    assert tab.requests() == [written.as_uri()]
    paper = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(22, 25, 29)" if dark else "rgb(255, 255, 255)")


OVERLAPS = """
[...document.querySelectorAll('.benchmarks tr:not(.why) > *')].filter(
  cell => cell.scrollWidth > cell.clientWidth + 1 && cell.clientWidth > 0
).map(cell => cell.textContent)
"""


@pytest.mark.parametrize("width", [390, 1280], ids=["phone", "desk"])
def test_no_cell_runs_over_its_neighbour(tab: browser.Page, written: Path, width: int) -> None:
    tab.open(written.as_uri(), width=width)
    tab.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert tab.evaluate(OVERLAPS) == []


def test_every_measured_benchmark_has_a_picture_on_one_axis(
    tab: browser.Page, written: Path
) -> None:
    tab.open(written.as_uri(), width=1280)
    pictures = "[...document.querySelectorAll('.benchmarks tbody .picture svg')]"
    count = tab.evaluate(f"{pictures}.length")
    assert count == len(RECORD.comparisons) + 3 * len(WICKED) + 1 - 2  # two have no numbers
    assert tab.evaluate(f"new Set({pictures}.map(each => each.clientWidth)).size") <= 2
    labels = tab.evaluate("[...document.querySelectorAll('#axis text')].map(e => e.textContent)")
    assert {"0", "+3 %", "-3 %"} <= set(labels)


def test_the_page_can_be_read_without_a_mouse_and_by_a_screen_reader(
    tab: browser.Page, written: Path
) -> None:
    tab.open("about:blank")
    tab.open(written.as_uri())
    assert tab.evaluate("document.documentElement.lang") == "en"
    assert tab.evaluate("document.querySelectorAll('h1').length") == 1
    links = "[...document.querySelectorAll('a[href^=\"#\"]')]"
    assert tab.evaluate(f"{links}.filter(a => !document.querySelector(a.hash)).length") == 0
    unlabelled = "[...document.querySelectorAll('[role]')].filter(e => !e.ariaLabel)"
    assert tab.evaluate(f"{unlabelled}.length") == 0
    tab.press("Tab", 9)
    assert tab.evaluate("document.activeElement.textContent") == "Skip to the benchmarks"


def test_the_colour_of_each_verdict_can_be_read_on_both_papers(
    tab: browser.Page, written: Path
) -> None:
    for dark in (False, True):
        tab.open(written.as_uri(), width=1280, dark=dark)
        colours = tab.evaluate(
            "[...document.querySelectorAll('.verdict')].map(e => getComputedStyle(e).color)"
        )
        paper = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        for colour in set(colours):
            assert contrast(colour, paper) >= 4.5


def contrast(one: str, other: str) -> float:
    """Returns the contrast of two colours as the accessibility guidelines define it."""
    darker, lighter = sorted(luminance(colour) for colour in (one, other))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    total = 0.0
    for weight, digits in zip((0.2126, 0.7152, 0.0722), re.findall(r"\d+", colour), strict=True):
        value = int(digits) / 255
        linear = value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        total += weight * linear
    return total
