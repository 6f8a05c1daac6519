"""The files that `flopline gate` writes, what it prints, and the exit code of a record."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from flopline import files
from flopline.cli.console import (
    complain,
    fail,
    print_coloured,
    refuse_unwritable,
    shows_colour,
    stdout,
    was_written,
)
from flopline.gate.record import ExitCode

if TYPE_CHECKING:
    from flopline.gate.record import GateRecord


@dataclass(frozen=True)
class Outputs:
    """The files that a gate run writes.

    Attributes:
        json: Where the record is saved, if anywhere.
        markdown: Where the report is written as Markdown.
        junit: Where the report is written as JUnit XML.
        html: Where the report is written as a page.
    """

    json: Path | None
    markdown: Path | None
    junit: Path | None
    html: Path | None

    def refuse_unwritable(self, *inputs: Path) -> None:
        """Ends the command if one of the files could not be written, or is one that is read.

        The file of GITHUB_STEP_SUMMARY was not asked for, so that a message is enough for it.
        """
        refuse_unwritable(self.json, self.markdown, self.junit, self.html, inputs=inputs)
        if github := step_summary():
            try:
                files.append(github, "")
            except OSError as error:
                complain(
                    f"{github}, which GITHUB_STEP_SUMMARY names, cannot be written "
                    f"({error.strerror}); the report is shown without it"
                )

    def refuse_self_check(self) -> None:
        """Ends the command if a file was asked for: a self-check has no record and no report."""
        for option in ("json", "markdown", "junit", "html"):
            if getattr(self, option):
                fail(
                    f"--self-check prints error rates and writes no files; leave --{option} out, "
                    "and redirect stdout to keep what is printed"
                )

    def write(self, record: GateRecord) -> bool:
        """Writes every file whole or not at all, and returns whether all that were asked for are.

        The Markdown is also appended to the file that GITHUB_STEP_SUMMARY names, if it is set. A
        file that cannot be written is told, and costs none of the others.
        """
        from flopline.gate import storage
        from flopline.gate.tell import junit, markdown
        from flopline.gate.tell.summary import summarise

        # The record comes first: what was measured is kept whatever becomes of the reports.
        written = []
        if json := self.json:
            written.append(was_written(json, lambda: storage.save(record, json)))
        summary = summarise(record)
        page = markdown.render(summary)
        if self.markdown:
            written.append(was_written(self.markdown, partial(files.write, self.markdown, page)))
        if self.junit:
            report = junit.render(summary)
            written.append(was_written(self.junit, partial(files.write, self.junit, report)))
        if self.html:
            written.append(was_written(self.html, partial(_write_page, record, self.html)))
        if github := step_summary():
            was_written(github, partial(files.append, github, page))
        return all(written)


def _write_page(record: GateRecord, path: Path) -> None:
    """Writes the report as a page."""
    from flopline.gate.tell import html
    from flopline.gate.tell.summary import summarise
    from flopline.gate.values import block_values

    files.write(path, html.render(summarise(record, block_values(record))))


def step_summary() -> Path | None:
    """Returns the file that GITHUB_STEP_SUMMARY names, to which GitHub lets a step append."""
    name = os.environ.get("GITHUB_STEP_SUMMARY")
    return Path(name) if name else None


def exit_code(record: GateRecord, *, written: bool) -> int:
    """Returns the exit code of a record, or 2 instead of 0 if a file was not written.

    A regression stays one, and what is undecided stays so: these say more than a missing file.
    """
    if record.exit_code == ExitCode.NO_REGRESSION and not written:
        return ExitCode.COULD_NOT_WORK
    return record.exit_code


def print_record(record: GateRecord) -> None:
    """Prints the report on a gate run."""
    from flopline.gate.tell import text
    from flopline.gate.tell.summary import summarise

    console = stdout()
    report = text.render(summarise(record), console.width, colour=shows_colour(console))
    print_coloured(report + "\n")
