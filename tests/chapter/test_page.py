"""The page, opened in a browser, shows the records and asks nobody for anything."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from flopline import records
from flopline.chapter import figures, page, sheets
from tests.support import browser, chapter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = ["ladder", "roofline", "blocks", "epochs", "loss", "noise"]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    page.write(chapter.chapter_records(), folder / "page.html", folder)
    return folder / "page.html"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Page]:
    with browser.page(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


def test_every_picture_is_saved_as_svg_and_png_too(written: Path) -> None:
    for name in NAMES:
        assert (written.parent / f"{name}.svg").read_text().startswith("<?xml")
        assert (written.parent / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_links_only_to_the_chapter_and_has_no_script(written: Path) -> None:
    text = re.sub(r"data:image/svg\+xml;base64,[\w+/=]+", "", written.read_text())
    addresses = re.findall(r'(?:src|href|srcset)="((?:https?:)?//[^"]*)"', text)
    assert set(addresses) == {page.CHAPTER}
    assert "<script" not in text


LOADED_IMAGES = """
Promise.all([...document.images].map(async image => {
  await image.decode();
  return [image.id, image.naturalWidth, image.alt, image.currentSrc == image.src];
}))
"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200], ids=["phone", "desk"])
def test_a_browser_shows_every_picture_and_asks_for_nothing(
    tab: browser.Page, written: Path, width: int, *, dark: bool
) -> None:
    tab.open(written.as_uri(), width=width, dark=dark)
    images = tab.evaluate(LOADED_IMAGES)
    assert [name for name, *_ in images] == [f"picture-{name}" for name in NAMES]
    for _, natural_width, alternative, is_light in images:
        assert natural_width > 100
        assert len(alternative) > 30
        assert is_light is not dark
    # Nothing hangs over the edge.
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.complaints() == []
    assert tab.requests() == [written.as_uri()]


def test_the_tables_have_the_rows_of_the_sheets(tab: browser.Page, written: Path) -> None:
    shown = chapter.chapter_records()
    tab.open(written.as_uri())
    for name, sheet in (
        ("training", sheets.training(shown.training)),
        ("predicted", sheets.predictions(shown.machine)),
        ("machine", sheets.facts(shown.machine)),
        ("ceilings", sheets.ceilings(shown.machine)),
        ("widths", sheets.narrow_products(shown.machine)),
    ):
        heads = [column.name for column in sheet.columns]
        assert tab.rows(f"#data-{name} thead") == [heads]
        assert tab.rows(f"#data-{name} tbody") == [list(row) for row in sheet.rows]
        for note in sheet.notes:
            assert note in tab.evaluate("document.body.textContent")


def test_the_data_under_each_picture_are_those_it_was_drawn_from(
    tab: browser.Page, written: Path
) -> None:
    shown = chapter.chapter_records()
    pictures = figures.pictures(shown.bench, shown.training, shown.claims, shown.machine)
    tab.open(written.as_uri())
    for picture in pictures:
        rows = tab.rows(f"#data-{picture.name} tbody")
        assert rows == [list(row) for row in picture.data.rows]


def test_a_claim_is_shown_with_all_that_was_measured(tab: browser.Page, written: Path) -> None:
    claims = chapter.claims_record().assessed
    tab.open(written.as_uri())
    rows = tab.rows("#data-claims tbody")
    assert [row[0] for row in rows] == [claim.id for claim in claims]
    for row, claim in zip(rows, claims, strict=True):
        assert row[1] == claim.claim + claim.rule
        assert row[3].endswith(claim.answer)
        assert claim.note in row[2]
        for measured in claim.measured:
            assert sheets.quantity(measured) in row[2]
    assert "1 more of C1" in rows[0][2]


def test_the_page_can_be_read_without_a_mouse_and_by_a_screen_reader(
    tab: browser.Page, written: Path
) -> None:
    tab.open("about:blank")
    tab.open(written.as_uri())
    assert tab.evaluate("document.documentElement.lang") == "en"
    assert tab.evaluate("document.querySelectorAll('h1').length") == 1
    unlabelled = "[...document.querySelectorAll('[tabindex]')].filter(e => !e.ariaLabel)"
    assert tab.evaluate(f"{unlabelled}.length") == 0
    links = "[...document.querySelectorAll('a[href^=\"#\"]')]"
    assert tab.evaluate(f"{links}.filter(a => !document.querySelector(a.hash)).length") == 0
    assert tab.evaluate("document.activeElement === document.body") is True
    tab.press("Tab", 9)
    assert tab.evaluate("document.activeElement.textContent") == "Skip to the content"


def test_a_surrogate_is_named_at_the_top_and_at_the_data() -> None:
    shown = chapter.chapter_records()
    assert page.html(shown, []).count("The training data are a surrogate") == 2
    loss = replace(shown.training.loss, source="airfoil")
    real = replace(shown, training=replace(shown.training, loss=loss))
    assert "surrogate</strong>" not in page.html(real, [])


def test_words_of_a_record_are_text_and_never_markup() -> None:
    hostile = '<script>alert("x")</script> & {{ 7 * 7 }}'
    shown = chapter.chapter_records()
    first = replace(shown.claims.assessed[0], claim=hostile, rule=hostile, note=hostile)
    shown = replace(
        shown,
        claims=replace(shown.claims, assessed=(first,)),
        machine=replace(shown.machine, machine={"cpu": hostile}),
    )
    text = page.html(shown, [])
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 5  # twice the processor, claim, rule and note
    assert text.count("{{ 7 * 7 }}") == 5


def test_records_of_other_machines_are_refused(tmp_path: Path) -> None:
    shown = chapter.chapter_records()
    elsewhere = replace(shown.machine, machine=shown.machine.machine | {"cpu": "another"})
    (tmp_path / "page.html").write_text("before")
    with pytest.raises(records.RecordError, match="come from different machines: cpu is"):
        page.write(replace(shown, machine=elsewhere), tmp_path / "page.html", tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]
    assert (tmp_path / "page.html").read_text() == "before"


def test_records_of_other_data_are_refused(tmp_path: Path) -> None:
    shown = chapter.chapter_records()
    other = replace(shown, claims=replace(shown.claims, source="airfoil"))
    (tmp_path / "page.html").write_text("before")
    with pytest.raises(records.RecordError, match="different data: 'surrogate' and 'airfoil'"):
        page.write(other, tmp_path / "page.html", tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]
    assert (tmp_path / "page.html").read_text() == "before"
