"""`flopline gate`: is the candidate slower than the baseline?"""

from __future__ import annotations

import contextlib
import math
import os
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from flopline import files
from flopline.cli.console import (
    complain,
    fail,
    print_coloured,
    print_text,
    refuse_unwritable,
    show_progress,
    showing,
    shows_colour,
    stdout,
    was_written,
)
from flopline.gate.record import MOST_PARTS, ExitCode, Part, Settings
from flopline.gate.signals import held_back
from flopline.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flopline.gate.record import GateRecord
    from flopline.gate.sides.environment import Side
    from flopline.progress import Report

app = typer.Typer()

EXIT_CODES = "; ".join(f"{int(code)} {code.meaning}" for code in ExitCode)
HELP = f"""Find out whether a candidate is slower than a baseline.

Any pytest-benchmark suite can be compared. Arguments after -- go to pytest.

Exit codes: {EXIT_CODES}.

`flopline gate show FILE` prints a saved record again. `flopline gate join FILES` gives one verdict
over the records of all parts of a suite, which `--part` measured.
"""


class GateCommand(TyperCommand):
    """`flopline gate`, which knows which of its arguments are pytest's because -- stands before."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  # as Commands.invoke
        """Notes how many arguments come after the --, which is itself no longer there later."""
        after = args[args.index("--") + 1 :] if "--" in args else []
        ctx.meta[AFTER] = len(after)
        return super().parse_args(ctx, args)


AFTER = "flopline.gate.after"
"""The name under which the context of a command has the number of arguments after the --."""


@dataclass(frozen=True)
class Outputs:
    """The files that a gate run writes.

    Attributes:
        json: Where the record is saved, if anywhere.
        markdown: Where the report is written as Markdown.
        junit: Where the report is written as JUnit XML.
    """

    json: Path | None
    markdown: Path | None
    junit: Path | None

    def refuse_unwritable(self, *inputs: Path) -> None:
        """Ends the command if one of the files could not be written, or is one that is read.

        The file of GITHUB_STEP_SUMMARY was not asked for, so that a message is enough for it.
        """
        refuse_unwritable(self.json, self.markdown, self.junit, inputs=inputs)
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
        for option in ("json", "markdown", "junit"):
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
        if github := step_summary():
            was_written(github, partial(files.append, github, page))
        return all(written)


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


@dataclass(frozen=True)
class GateOptions:
    """What was requested of `flopline gate`.

    Attributes:
        settings: What the gate itself must know.
        baseline: A revision or folder; None if interpreters are compared.
        candidate: A revision or folder; None means the working tree.
        pythons: The interpreters of the baseline and the candidate, if these are compared.
        isolated: True if each side is given dependencies of its own.
        outputs: The files to write.
    """

    settings: Settings
    baseline: str | None
    candidate: str | None
    pythons: tuple[str, str] | None
    isolated: bool
    outputs: Outputs


# What is compared.
Baseline = Annotated[
    str | None, typer.Option(metavar="REV", help="Compare with this revision or folder.")
]
Candidate = Annotated[
    str | None,
    typer.Option(
        metavar="REV",
        help="Judge this revision or folder. Without it the working tree is judged.",
    ),
]
BaselinePython = Annotated[
    str | None,
    typer.Option(
        metavar="PATH",
        help="Use this interpreter, which has everything installed, as the baseline. "
        "Nothing is built then.",
    ),
]
CandidatePython = Annotated[
    str | None,
    typer.Option(
        metavar="PATH",
        help="Use this interpreter, which has everything installed, as the candidate.",
    ),
]
SuiteFrom = Annotated[
    Literal["candidate", "baseline", "each"],
    typer.Option(
        help="Run this side's benchmark files on both sides. With `each`, both sides run their own."
    ),
]
Isolated = Annotated[
    bool, typer.Option("--isolated", help="Give each side dependencies of its own.")
]

# How it is compared.
Detect = Annotated[
    str, typer.Option(metavar="PERCENT", help="Find every slowdown of at least this size.")
]
Alpha = Annotated[
    str,
    typer.Option(metavar="PERCENT", help="Accept this probability of any false alarm in the run."),
]
Budget = Annotated[str, typer.Option(metavar="SECONDS", help="Measure for at most this long.")]
AlternateSetup = Annotated[
    bool,
    typer.Option(
        "--alternate-setup",
        help="Let the fixtures of only one side live at a time, for suites with one fixed port, "
        "file or database. This is noisier.",
    ),
]
CallsDecide = Annotated[
    bool,
    typer.Option(
        "--calls",
        help="Fail benchmarks that make more calls of Python and C functions, too, whatever time "
        "they take. Calls are counted exactly, so the error rate says nothing about that.",
    ),
]
PartOfSuite = Annotated[
    str,
    typer.Option(
        "--part",
        metavar="K/N",
        help="Measure the K-th of N shares of the suite, for example on the K-th of N machines.",
    ),
]
SelfCheck = Annotated[
    int,
    typer.Option(
        "--self-check",
        metavar="N",
        min=0,
        help="Measure the gate's own error rates on this machine, in N runs of each kind.",
    ),
]

# What is written.
JsonFile = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Save the record to this file.")
]
MarkdownFile = Annotated[
    Path | None,
    typer.Option("--markdown", metavar="FILE", help="Write the report as Markdown to this file."),
]
JunitFile = Annotated[
    Path | None,
    typer.Option("--junit", metavar="FILE", help="Write the report as JUnit XML to this file."),
]


@app.command(
    "gate",
    cls=GateCommand,
    help=HELP,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def gate(
    context: typer.Context,
    *,
    baseline: Baseline = None,
    candidate: Candidate = None,
    baseline_python: BaselinePython = None,
    candidate_python: CandidatePython = None,
    detect: Detect = "3%",
    alpha: Alpha = "1%",
    budget: Budget = "300s",
    suite_from: SuiteFrom = "candidate",
    isolated: Isolated = False,
    alternate_setup: AlternateSetup = False,
    calls: CallsDecide = False,
    part: PartOfSuite = "1/1",
    self_check: SelfCheck = 0,
    json_file: JsonFile = None,
    markdown_file: MarkdownFile = None,
    junit_file: JunitFile = None,
) -> None:
    """Finds out whether a candidate is slower than a baseline; `HELP` is what users read."""
    outputs = Outputs(json_file, markdown_file, junit_file)
    before = context.args[: len(context.args) - context.meta[AFTER]]
    if before[:1] == ["show"]:
        show(context.args[1:], outputs)
        return
    if before[:1] == ["join"] and not (baseline or baseline_python or candidate_python):
        refuse_options(context)
        join(context.args[1:], outputs)
        return
    share = parse_part(part)
    if self_check:
        outputs.refuse_self_check()
        if share.of > 1:
            fail("--self-check measures the error rates of a whole run; leave --part out")
        if calls:
            fail("--self-check measures error rates, and calls have none; leave --calls out")
    outputs.refuse_unwritable()
    whole = Settings(
        detect=parse_number("--detect", detect, "%", low=0.1, high=100) / 100,
        alpha=parse_number("--alpha", alpha, "%", low=1e-4, high=50) / 100,
        budget=parse_number("--budget", budget, "s", low=1, high=1e6),
        arguments=tuple(context.args),
        suite_from=suite_from,
        alternate=alternate_setup,
        calls=calls,
    )
    options = GateOptions(
        settings=whole.for_part(share),
        baseline=baseline,
        candidate=candidate,
        pythons=parse_pythons(baseline, baseline_python, candidate_python),
        isolated=isolated,
        outputs=outputs,
    )
    if self_check:
        check_itself(options, runs=self_check)
    else:
        compare(options)


def parse_number(option: str, text: str, unit: str, *, low: float, high: float) -> float:
    """Returns the number in an option's text; ends the command if it is none or out of range.

    Args:
        option: The option's name, for the message.
        text: What the user gave.
        unit: The unit, which may stand behind the number or be left out.
        low: The smallest number that is allowed.
        high: The largest.
    """
    try:
        number = float(text.strip().removesuffix(unit))
    except ValueError:
        number = math.nan
    if not low <= number <= high:
        fail(
            f"{option} is {text!r}; allowed is a number from {low:g}{unit} to {high:g}{unit}, "
            f"for example {low:g}{unit}"
        )
    return number


def parse_part(text: str) -> Part:
    """Returns the part in an option's text; ends the command if there is no such part."""
    match = re.fullmatch(r"\s*([0-9]{1,4})/([0-9]{1,4})\s*", text)
    number, of = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= number <= of <= MOST_PARTS:
        fail(
            f"--part is {text!r}; allowed is K/N, the K-th of N parts, with K from 1 to N and N of "
            f"at most {MOST_PARTS}, for example 1/4"
        )
    return Part(number, of)


def parse_pythons(
    baseline: str | None, baseline_python: str | None, candidate_python: str | None
) -> tuple[str, str] | None:
    """Returns the two interpreters to compare, or None if revisions are compared.

    The command ends if it is not clear what to compare.
    """
    if baseline is not None and baseline_python is None and candidate_python is None:
        return None
    if baseline is not None or baseline_python is None or candidate_python is None:
        fail(
            "give --baseline REV (and --candidate REV), or both --baseline-python PATH and "
            "--candidate-python PATH"
        )
    return baseline_python, candidate_python


def compare(options: GateOptions) -> None:
    """Compares the two versions, reports, and ends with the gate's exit code."""
    from flopline.gate import run

    with _prepared(options) as (baseline, candidate, report):
        record = run.run(baseline, candidate, options.settings, report=report)
        # Before the folders are removed: a second signal shortens that.
        with held_back():
            written = options.outputs.write(record)
    print_record(record)
    raise typer.Exit(exit_code(record, written=written))


def check_itself(options: GateOptions, *, runs: int) -> None:
    """Prints the gate's own error rates, measured on this machine and suite."""
    from flopline.gate import selfcheck

    with _prepared(options) as (baseline, candidate, report):
        rates = selfcheck.self_check(
            baseline, candidate, options.settings, runs=runs, report=report
        )
    print_text(rates.text() + "\n")


def show(arguments: list[str], outputs: Outputs) -> None:
    """Prints a saved record again, and writes it in the other formats that were requested."""
    from flopline.gate import storage

    if len(arguments) != 1:
        fail("gate show takes one file, a record that `flopline gate --json FILE` saved")
    file = Path(arguments[0])
    record = storage.load(file)
    outputs.refuse_unwritable(file)
    with showing(file):
        written = outputs.write(record)
        print_record(record)
    if not written:
        raise typer.Exit(2)


def refuse_options(context: typer.Context) -> None:
    """Ends the command if `join` was given an option that is for measuring."""
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        given = source is not None and source.name == "COMMANDLINE"
        if given and name not in ("json_file", "markdown_file", "junit_file"):
            fail(
                f"gate join measures nothing; leave {parameter.opts[0]} out, and give the files "
                "of the parts, and --json, --markdown or --junit for what it shall write"
            )


def join(arguments: list[str], outputs: Outputs) -> None:
    """Gives one verdict over the saved records of all parts, and ends with its exit code."""
    from flopline.gate import parts, storage

    for argument in arguments:
        if argument.startswith("-"):
            fail(f"gate join has no option {argument}; it takes the records of all parts")
    inputs = [Path(argument) for argument in arguments]
    outputs.refuse_unwritable(*inputs)
    with showing("one of the parts"):
        # One is read at a time, because a record takes a gigabyte of memory where a suite is large.
        record = parts.join((str(file), storage.load(file)) for file in inputs)
        written = outputs.write(record)
        print_record(record)
    raise typer.Exit(exit_code(record, written=written))


def print_record(record: GateRecord) -> None:
    """Prints the report on a gate run."""
    from flopline.gate.tell import text
    from flopline.gate.tell.summary import summarise

    console = stdout()
    report = text.render(summarise(record), console.width, colour=shows_colour(console))
    print_coloured(report + "\n")


@contextlib.contextmanager
def _prepared(options: GateOptions) -> Iterator[tuple[Side, Side, Report]]:
    """Makes both sides ready to be started, and shows the progress of what is done with them."""
    from flopline.gate.measure.orphans import adopted

    try:
        # What a build or a suite has started, and left behind, ends with the run.
        with show_progress("gate") as report, adopted():
            report(Progress("building"))
            with _sides(options) as (baseline, candidate):
                yield baseline, candidate, report
    except KeyboardInterrupt:
        fail("interrupted; nothing was written")


def _sides(options: GateOptions) -> contextlib.AbstractContextManager[tuple[Side, Side]]:
    from flopline.gate.sides import environment

    if options.pythons is not None:
        return environment.interpreters(None, *options.pythons)
    return environment.sides(
        None, options.baseline or "", options.candidate, isolated=options.isolated
    )
