"""`flopline gate`: is the candidate slower than the baseline?"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape

from flopline import FloplineError
from flopline.cli.console import fail, refuse_unwritable, stdout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flopline.gate.record import GateRecord
    from flopline.progress import Progress

app = typer.Typer()


@dataclasses.dataclass(frozen=True)
class Outputs:
    """The files that a gate run is to write; Markdown is also appended to GITHUB_STEP_SUMMARY where that is set."""

    json: Path | None
    markdown: Path | None
    junit: Path | None

    def write(self, found: GateRecord) -> None:
        """Writes them, each whole or not at all."""
        from flopline import records
        from flopline.gate import storage
        from flopline.gate.tell import text as report

        if self.json:
            storage.save(found, self.json)
        if self.markdown:
            records.write(self.markdown, report.markdown(found))
        if self.junit:
            records.write(self.junit, report.junit(found))
        if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(report.markdown(found))


@app.command("gate", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def gate(
    context: typer.Context,
    *,
    baseline: Annotated[
        str | None, typer.Option(metavar="REV", help="Revision or folder to compare with.")
    ] = None,
    candidate: Annotated[
        str | None,
        typer.Option(
            metavar="REV", help="Revision or folder to judge; by default the working tree."
        ),
    ] = None,
    baseline_python: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="A ready interpreter as baseline; nothing is built."),
    ] = None,
    candidate_python: Annotated[
        str | None, typer.Option(metavar="PATH", help="And one as candidate.")
    ] = None,
    detect: Annotated[
        str, typer.Option(metavar="PERCENT", help="The slowdown that must be found.")
    ] = "3%",
    alpha: Annotated[
        str, typer.Option(metavar="PERCENT", help="Probability of any false alarm in a run.")
    ] = "1%",
    budget: Annotated[str, typer.Option(metavar="SECONDS", help="Time for measuring.")] = "300s",
    suite_from: Annotated[
        Literal["candidate", "baseline", "each"],
        typer.Option(help="Whose benchmark files both sides run."),
    ] = "candidate",
    isolated: Annotated[
        bool, typer.Option("--isolated", help="Give each side its own dependencies.")
    ] = False,
    self_check: Annotated[
        int,
        typer.Option(
            "--self-check",
            metavar="N",
            min=0,
            help="Measure this machine's own error rates, N times.",
        ),
    ] = 0,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Save the record.")
    ] = None,
    markdown_file: Annotated[
        Path | None, typer.Option("--markdown", metavar="FILE", help="Save Markdown.")
    ] = None,
    junit_file: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Save JUnit XML.")
    ] = None,
) -> None:
    """Is the candidate slower? Compares two versions of any pytest-benchmark suite; arguments after -- go to pytest.

    Exit codes: 0 no regression, 1 a confirmed regression, 2 the gate could not do its work, 3 inconclusive.
    `flopline gate show FILE` prints a saved record again.
    """
    from flopline.gate import record, selfcheck
    from flopline.gate import run as procedure
    from flopline.gate.sides import environment as environments
    from flopline.progress import Progress

    files = Outputs(json_file, markdown_file, junit_file)
    if context.args[:1] == ["show"]:
        _show(context.args[1:], files)
        return
    refuse_unwritable(files.json, files.markdown, files.junit)
    settings = record.Settings(
        detect=_number("--detect", detect, "%", 0.1, 100) / 100,
        alpha=_number("--alpha", alpha, "%", 1e-4, 50) / 100,
        budget=_number("--budget", budget, "s", 1, 1e6),
        arguments=tuple(context.args),
        suite_from=suite_from,
    )
    if (baseline_python is None) != (candidate_python is None) or (baseline is None) == (
        baseline_python is None
    ):
        fail(
            "give --baseline REV (and --candidate REV), or both --baseline-python PATH and --candidate-python PATH"
        )
    with contextlib.ExitStack() as stack:
        # Or a cancelled job would leave its workers behind.
        stack.callback(
            signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, signal.default_int_handler)
        )
        try:
            report = stack.enter_context(_progress())
            report(Progress("building"))
            if baseline_python and candidate_python:
                sides = stack.enter_context(
                    environments.interpreters(Path.cwd(), baseline_python, candidate_python)
                )
            else:
                chosen = environments.sides(
                    Path.cwd(), baseline or "", candidate, isolated=isolated
                )
                sides = stack.enter_context(chosen)
            if self_check:
                rates = selfcheck.self_check(*sides, settings, runs=self_check, report=report)
            else:
                found = procedure.run(*sides, settings, report=report)
        except FloplineError as error:
            stack.close()
            fail(str(error))
        except KeyboardInterrupt:
            stack.close()
            fail("interrupted; nothing was written")
    if self_check:
        sys.stdout.write(rates.text() + "\n")
        return
    files.write(found)
    _print_record(found)
    raise typer.Exit(found.exit_code)


def _number(option: str, text: str, unit: str, low: float, high: float) -> float:
    try:
        number = float(text.strip().removesuffix(unit))
    except ValueError:
        number = math.nan
    if not low <= number <= high:
        fail(
            f"{option} is {text!r}; allowed is a number from {low:g}{unit} to {high:g}{unit}, for example {low:g}{unit}"
        )
    return number


def _show(arguments: list[str], files: Outputs) -> None:
    from flopline import records
    from flopline.gate import storage

    if len(arguments) != 1:
        fail("gate show takes one file, a record that `flopline gate --json FILE` saved")
    try:
        found = storage.load(Path(arguments[0]))
    except (records.RecordError, OSError) as error:
        fail(str(error))
    refuse_unwritable(files.json, files.markdown, files.junit)
    files.write(found)
    _print_record(found)


def _print_record(found: GateRecord) -> None:
    from flopline.gate.tell import text as report

    console = stdout()
    sys.stdout.write(report.text(found, console.width, colour=console.is_terminal) + "\n")


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[Progress], None]]:
    """A line on stderr that says where the gate is; where that is no terminal, a line per stage and block."""
    console = Console(stderr=True)
    last = ""
    with console.status("starting") if console.is_terminal else contextlib.nullcontext() as status:

        def report(where: Progress) -> None:
            nonlocal last
            line = where.stage + (
                f", block {where.done + 1} of {where.of}" if where.of else ""
            )
            if where.seconds_left is not None:
                line += f", {where.seconds_left:.0f} s left"
            if status is not None:
                status.update(escape(f"{line}  {where.detail}"))
            elif line != last:
                console.print(
                    f"flopline gate: {line}", markup=False, highlight=False, soft_wrap=True
                )
            last = line

        yield report
