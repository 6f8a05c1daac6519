"""One self-contained HTML page from saved records: pictures, their data, the claims, the machine.

The page requests nothing from a network. Its styles are part of it, pictures are embedded once for
light and once for dark paper, and there is no script. What stands where is in `page.html.jinja`.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flopline import __version__, data, files, pages, records
from flopline.bench import Bench
from flopline.chapter import figures, sheets
from flopline.chapter.claims.assess import ClaimsRecord
from flopline.chapter.training import TrainingRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from flopline.chapter.figures import Picture
    from flopline.chapter.prediction import MachineRecord
    from flopline.records import SavedRecord


@dataclass(frozen=True)
class ChapterRecords:
    """What the page shows; all records are from one machine."""

    bench: Bench
    training: TrainingRecord
    claims: ClaimsRecord
    machine: MachineRecord

    def by_command(self) -> dict[str, SavedRecord]:
        """Returns the records by the command that wrote each."""
        return {
            "bench": self.bench,
            "train": self.training,
            "claims": self.claims,
            "machine": self.machine,
        }


def check(named: Mapping[str, SavedRecord]) -> None:
    """Refuses records that do not belong together.

    Args:
        named: The records by the name under which the reader knows them.

    Raises:
        RecordError: Two of them are from different machines, or from different training data. The
            message says in what they differ.
    """
    records.demand_one_machine(dict(named))
    sources = {name: data_source(record) for name, record in named.items()}
    trained = [name for name, source in sources.items() if source]
    for name in trained[1:]:
        first = trained[0]
        if sources[name] != sources[first]:
            raise records.RecordError(
                f"{first} and {name} come from different data: "
                f"{sources[first]!r} and {sources[name]!r}"
            )


def data_source(record: SavedRecord) -> str:
    """Returns the name of the training data behind a record; empty where it used none."""
    if isinstance(record, TrainingRecord):
        return record.loss.source
    if isinstance(record, ClaimsRecord):
        return record.source
    if isinstance(record, Bench):
        return next((row.data for row in record.rows if row.data), "")
    return ""


def write(shown: ChapterRecords, page: Path, folder: Path | None = None) -> None:
    """Writes the page, and the pictures beside it; every file whole or not at all.

    Args:
        shown: What to show.
        page: The HTML file.
        folder: Where the pictures are saved as SVG and PNG; by default nowhere.

    Raises:
        RecordError: The records do not belong together.
    """
    check(shown.by_command())
    pictures = figures.pictures(shown.bench, shown.training, shown.claims, shown.machine)
    # A name in a record may hold half a character, which has no bytes in UTF-8.
    files.write(page, html(shown, pictures).encode(errors="backslashreplace"))
    if folder is not None:
        for picture in pictures:
            files.write(folder / f"{picture.name}.svg", picture.svg("light"))
            files.write(folder / f"{picture.name}.png", picture.png("light"))


CHAPTER = "https://d2l.ai/chapter_optimization/minibatch-sgd.html"
"""The address of the chapter, the only one that the page links to."""

MARKS = {"confirmed": "✓", "refuted": "✗", "depends on the machine": "≈", "not testable here": "?"}
"""A mark beside each answer, so that answers can be found by a glance down the column."""


def html(shown: ChapterRecords, pictures: Sequence[Picture]) -> str:
    """Returns the page."""
    environment = pages.environment("flopline.chapter")
    environment.filters["quantity"] = sheets.quantity
    environment.filters["svg"] = embedded_svg
    page: str = environment.get_template("page.html.jinja").render(
        chapter=CHAPTER,
        version=__version__,
        facts=shown.machine.machine,
        threads=shown.machine.threads,
        date=shown.claims.started[:10],
        source=shown.training.loss.source,
        surrogate=shown.training.loss.source == data.SURROGATE,
        pictures=pictures,
        training=sheets.training(shown.training),
        claims=shown.claims.assessed,
        shown=sheets.SHOWN,
        marks=MARKS,
        predictions=sheets.predictions(shown.machine),
        machine_facts=sheets.facts(shown.machine),
        ceilings=sheets.ceilings(shown.machine),
        narrow_products=sheets.narrow_products(shown.machine),
        attribution=data.ATTRIBUTION,
        licence=data.LICENCE,
    )
    return page


def embedded_svg(picture: Picture, theme: figures.Theme) -> str:
    """Returns a picture as a data URL, which a page embeds."""
    encoded = base64.b64encode(picture.svg(theme).encode()).decode()
    return f"data:image/svg+xml;base64,{encoded}"
