"""`flopline gate`: is the candidate slower than the baseline?"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import traceback
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from flopline import FloplineError, files
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
from flopline.gate import configuration
from flopline.gate.configuration import ALPHA, BUDGET, DETECT, Configuration
from flopline.gate.record import MOST_PARTS, ExitCode, Part, Settings
from flopline.gate.sides.place import Place
from flopline.gate.signals import held_back
from flopline.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flopline.gate.record import GateRecord
    from flopline.gate.sides.environment import Side
    from flopline.gate.sides.isolation import Isolation
    from flopline.progress import Report

app = typer.Typer()

EXIT_CODES = "; ".join(f"{int(code)} {code.meaning}" for code in ExitCode)
HELP = f"""Find out whether a candidate is slower than a baseline.

Any pytest-benchmark suite can be compared. Arguments after -- go to pytest. With --asv, or where
there are no such arguments and asv.conf.json names a suite, an asv suite is compared, and arguments
after -- are regular expressions of its benchmarks.

What is not given is as tool.flopline.gate in pyproject.toml says.

Exit codes: {EXIT_CODES}.

`flopline gate show FILE` prints a saved record again. `flopline gate join FILES` gives one verdict
over the records of all parts of a suite, which `--part` measured.
"""


class GateCommand(TyperCommand):
    """`flopline gate`, which knows which of its arguments are pytest's because -- stands before.

    What the command line does not say, the project's configuration does.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  # as Commands.invoke
        """Notes how many arguments come after the --, which is itself no longer there later.

        The folder may be left out after --asv, which options of typer do not allow otherwise.
        """
        for place, (argument, following) in enumerate(itertools.pairwise([*args, "--"])):
            if argument == "--":
                break
            if argument == "--asv" and following.startswith("-"):
                args[place] = "--asv="
        after = args[args.index("--") + 1 :] if "--" in args else []
        ctx.meta[AFTER] = len(after)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401  # as Commands.invoke
        """Runs the command with the options of the project's configuration that were not given."""
        ctx.meta[CONFIGURED] = Configuration()
        if not reads_records(ctx):
            configured = ctx.meta[CONFIGURED] = configuration.read(Place.here())
            for parameter in self.params:
                key = parameter.opts[0].removeprefix("--")
                if key in configured.options and not was_given(ctx, parameter.name):
                    ctx.params[parameter.name] = configured.options[key]
        return super().invoke(ctx)


class BisectableCommand(GateCommand):
    """`flopline gate`, whose exit codes are those that `git bisect run` wants with `--bisect`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  # as Commands.invoke
        """Reads the arguments; to a search by git, a wrong one is no commit's fault."""
        own = args[: args.index("--")] if "--" in args else args
        with _for_git_bisect() if "--bisect" in own else contextlib.nullcontext():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401  # as Commands.invoke
        """Runs the gate."""
        with _for_git_bisect() if ctx.params["bisect"] else contextlib.nullcontext():
            return super().invoke(ctx)


AFTER = "flopline.gate.after"
"""The name under which the context of a command has the number of arguments after the --."""
CONFIGURED = "flopline.gate.configured"
"""The name under which it has the project's configuration."""


def before_dashes(context: typer.Context) -> list[str]:
    """Returns the arguments without an option that stand before the --."""
    return context.args[: len(context.args) - context.meta[AFTER]]


def reads_records(context: typer.Context) -> bool:
    """Returns whether the command is `show` or `join`, which compare nothing themselves."""
    first = before_dashes(context)[:1]
    versions = ("baseline", "baseline_python", "candidate_python")
    compares = any(context.params[name] for name in versions)
    return first == ["show"] or (first == ["join"] and not compares)


def was_given(context: typer.Context, name: str) -> bool:
    """Returns whether the command line has the option of a parameter."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


UNTESTABLE = 125
"""The exit code that tells `git bisect run` to go on with another commit."""
STOP = 128
"""The exit code that tells `git bisect run` to stop, because no commit can be judged like this."""


@contextlib.contextmanager
def _for_git_bisect() -> Iterator[None]:
    """Stops the whole search where the gate could not work for a reason that is no commit's.

    To git any other code that is not 0 would mean that the commit is to blame: also that of a
    mistyped option, or of Ctrl-C.
    """
    try:
        yield
    except typer.Exit as end:
        code = STOP if end.exit_code == ExitCode.COULD_NOT_WORK else end.exit_code
        raise typer.Exit(code) from end
    except (KeyboardInterrupt, FloplineError, OSError) as error:
        complain(str(error) or "interrupted")
        raise typer.Exit(STOP) from error
    except Exception as error:
        if hasattr(error, "exit_code"):  # a wrong use of the command line, which typer tells
            error.exit_code = STOP
            raise
        complain(f"a defect of flopline's\n{traceback.format_exc()}")
        raise typer.Exit(STOP) from error


@contextlib.contextmanager
def _of_this_commit() -> Iterator[None]:
    """Lets a search by git go on with another commit where this one cannot be measured."""
    from flopline.gate.measure.handle import WorkerError
    from flopline.gate.run import GateError
    from flopline.gate.sides.build import BuildError

    try:
        yield
    except (BuildError, GateError, WorkerError) as error:
        complain(str(error))
        raise typer.Exit(UNTESTABLE) from error


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


def bisect_code(record: GateRecord, code: int) -> int:
    """Returns the exit code for `git bisect run`, in place of a record's own.

    What could not be decided or measured says nothing about the commit, and a regression is one
    whatever settings let it pass. A run that broke off, and one whose files could not be written,
    stop the search.
    """
    from flopline.gate.run import BROKEN

    if record.result.startswith(BROKEN) or code != record.exit_code:
        return STOP
    undecided = (ExitCode.COULD_NOT_WORK, ExitCode.UNDECIDED)
    return UNTESTABLE if record.found in undecided else record.found


@dataclass(frozen=True)
class GateOptions:
    """What was requested of `flopline gate`.

    Attributes:
        settings: What the gate itself must know.
        baseline: A revision or folder; None if interpreters are compared.
        candidate: A revision or folder; None means the working tree.
        pythons: The interpreters of the baseline and the candidate, if these are compared.
        python: The interpreter in which both sides run; None if the user did not say.
        isolation: What each side is given as dependencies of its own; None if it is given none.
        carried: Files and folders that are brought into both sides.
        outputs: The files to write.
        bisect: True if the exit code is for `git bisect run`.
    """

    settings: Settings
    baseline: str | None
    candidate: str | None
    pythons: tuple[str, str] | None
    python: str | None
    isolation: Isolation | None
    carried: tuple[str, ...]
    outputs: Outputs
    bisect: bool = False


# What is compared.
Baseline = Annotated[
    str | None, typer.Option(metavar="REV", help="Compare with this revision, folder or wheel.")
]
Candidate = Annotated[
    str | None,
    typer.Option(
        metavar="REV",
        help="Judge this revision, folder or wheel. Without it the working tree is judged.",
    ),
]
Python = Annotated[
    str | None,
    typer.Option(
        metavar="PATH",
        help="Build both sides for this interpreter, or that of this environment's folder, and run "
        "them in it. Without it uvx and pipx take the active environment, or .venv.",
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
    bool,
    typer.Option("--isolated/--no-isolated", help="Give each side dependencies of its own."),
]

Extra = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="With --isolated, install this extra of the project. May be repeated.",
    ),
]
Group = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="With --isolated, install this dependency group of the project. May be repeated.",
    ),
]
With = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        metavar="REQUIREMENT",
        help="With --isolated, install this on both sides as well. May be repeated.",
    ),
]
Carry = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATH",
        help="Bring this file or folder, which git ignores, into both sides. May be repeated.",
    ),
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
AsvFolder = Annotated[
    str | None,
    typer.Option(
        "--asv",
        metavar="[DIR]",
        help="Compare the asv suite in this folder, or the one that asv.conf.json names.",
    ),
]
AlternateSetup = Annotated[
    bool,
    typer.Option(
        "--alternate-setup/--no-alternate-setup",
        help="Let the fixtures of only one side live at a time, for suites with one fixed port, "
        "file or database. This is noisier.",
    ),
]
ReportOnly = Annotated[
    bool,
    typer.Option(
        "--report-only/--no-report-only",
        help="Report, and end with exit code 0 also after a regression or without an answer.",
    ),
]
Inconclusive = Annotated[
    Literal["fail", "pass"],
    typer.Option(help="End with exit code 3 without an answer, or pass with 0."),
]
CallsDecide = Annotated[
    bool,
    typer.Option(
        "--calls/--no-calls",
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
Bisect = Annotated[
    bool,
    typer.Option(
        "--bisect",
        help="End as `git bisect run` wants it: 0 and 1 as ever, 125 for a commit that cannot be "
        "judged, 128 if something stops the whole search.",
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
HtmlFile = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", help="Write the report as a page to this file."),
]


@app.command(
    "gate",
    cls=BisectableCommand,
    help=HELP,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def gate(
    context: typer.Context,
    *,
    baseline: Baseline = None,
    candidate: Candidate = None,
    python: Python = None,
    baseline_python: BaselinePython = None,
    candidate_python: CandidatePython = None,
    detect: Detect = "3%",
    alpha: Alpha = "1%",
    budget: Budget = "300s",
    suite_from: SuiteFrom = "candidate",
    isolated: Isolated = False,
    extra: Extra = None,
    group: Group = None,
    requirement: With = None,
    carry: Carry = None,
    alternate_setup: AlternateSetup = False,
    report_only: ReportOnly = False,
    inconclusive: Inconclusive = "fail",
    asv: AsvFolder = None,
    calls: CallsDecide = False,
    part: PartOfSuite = "1/1",
    self_check: SelfCheck = 0,
    bisect: Bisect = False,
    json_file: JsonFile = None,
    markdown_file: MarkdownFile = None,
    junit_file: JunitFile = None,
    html_file: HtmlFile = None,
) -> None:
    """Finds out whether a candidate is slower than a baseline; `HELP` is what users read."""
    outputs = Outputs(json_file, markdown_file, junit_file, html_file)
    before = before_dashes(context)
    if before[:1] == ["show"]:
        show(context.args[1:], outputs)
        return
    if before[:1] == ["join"] and not (baseline or baseline_python or candidate_python):
        refuse_options(context)
        join(context.args[1:], outputs)
        return
    configured: Configuration = context.meta[CONFIGURED]
    share = parse_part(part)
    if self_check:
        outputs.refuse_self_check()
        if bisect:
            fail("--self-check judges no commit; leave --bisect out")
        if share.of > 1:
            fail("--self-check measures the error rates of a whole run; leave --part out")
        if calls:
            fail("--self-check measures error rates, and calls have none; leave --calls out")
    outputs.refuse_unwritable()
    pythons = parse_pythons(baseline, baseline_python, candidate_python)
    arguments = tuple(context.args)
    if asv is None:
        arguments = arguments or configured.suite
    whole = Settings(
        detect=DETECT.parse("--detect", detect) / 100,
        alpha=ALPHA.parse("--alpha", alpha) / 100,
        budget=BUDGET.parse("--budget", budget),
        arguments=arguments,
        suite_from=suite_from,
        alternate=alternate_setup,
        rules=configured.rules,
        report_only=report_only,
        inconclusive=inconclusive,
        asv=parse_asv(asv, arguments),
        calls=calls,
    )
    options = GateOptions(
        settings=whole.for_part(share),
        baseline=baseline,
        candidate=candidate,
        pythons=pythons,
        python=python,
        isolation=parse_isolation(extra, group, requirement, isolated=isolated),
        carried=tuple(carry or ()),
        outputs=outputs,
        bisect=bisect,
    )
    if self_check:
        check_itself(options, runs=self_check)
    else:
        compare(options)


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


def parse_isolation(
    extras: list[str] | None,
    groups: list[str] | None,
    requirements: list[str] | None,
    *,
    isolated: bool,
) -> Isolation | None:
    """Returns what each side is given of its own; None if both use this environment.

    The command ends if something is to be installed into an environment that is not the gate's.
    """
    if isolated:
        from flopline.gate.sides.isolation import Isolation

        return Isolation(tuple(extras or ()), tuple(groups or ()), tuple(requirements or ()))
    for option, given in (("extra", extras), ("group", groups), ("with", requirements)):
        if given:
            fail(
                f"--{option} says what --isolated installs; add --isolated, or install it into "
                "your environment and leave it out"
            )
    return None


def parse_asv(folder: str | None, arguments: Sequence[str]) -> str:
    """Returns the folder of the asv suite that is compared; empty if the suite is pytest's.

    Args:
        folder: What --asv names; empty if it names none, None if it was not given.
        arguments: The arguments after --.

    Raises:
        AsvSuiteError: There is no suite where one is asked for, or an argument cannot select
            benchmarks of it.
        PlaceError, NoWorkingTreeError, GitError, ProjectError: As `Place.here`.
    """
    from flopline.gate.sides import asv_suite
    from flopline.gate.sides.place import Place

    if folder is None and arguments:
        return ""
    place = Place.here()
    if folder:
        suite = asv_suite.asked_for(place, folder)
    else:
        found = asv_suite.find(place, asked=folder is not None)
        if found is None:
            return ""
        suite = found
    asv_suite.check_patterns(arguments)
    if folder is None:
        complain(
            f"comparing the asv suite {suite.folder}, which {suite.found} names; to compare a "
            "pytest suite, name it after --"
        )
    return str(suite.folder)


def compare(options: GateOptions) -> None:
    """Compares the two versions, reports, and ends with the gate's exit code."""
    from flopline.gate import run

    bisect = options.bisect
    with (
        _of_this_commit() if bisect else contextlib.nullcontext(),
        _prepared(options) as (baseline, candidate, report),
    ):
        record = run.run(baseline, candidate, options.settings, report=report)
        # Before the folders are removed: a second signal shortens that.
        with held_back():
            written = options.outputs.write(record)
    print_record(record)
    code = exit_code(record, written=written)
    raise typer.Exit(bisect_code(record, code) if bisect else code)


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
        outputs = ("json_file", "markdown_file", "junit_file", "html_file")
        if was_given(context, name) and name not in outputs:
            fail(
                f"gate join measures nothing; leave {parameter.opts[0]} out, and give the files "
                "of the parts, and --json, --markdown, --junit or --html for what it shall write"
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
    from flopline.gate.sides import asv_suite

    try:
        # What a build or a suite has started, and left behind, ends with the run.
        with show_progress("gate") as report, adopted():
            report(Progress("building"))
            with _sides(options) as sides:
                baseline, candidate = asv_suite.with_suite(sides, options.settings.asv)
                yield baseline, candidate, report
    except KeyboardInterrupt:
        fail("interrupted; nothing was written")


def _sides(options: GateOptions) -> contextlib.AbstractContextManager[tuple[Side, Side]]:
    from flopline.gate.sides import asv_suite, cache, environment, interpreter

    needed = asv_suite.needed(options.settings.asv)
    if options.pythons is not None:
        if options.python is not None:
            fail("with --baseline-python and --candidate-python, leave --python out")
        return environment.interpreters(
            None, *options.pythons, carried=options.carried, needed=needed
        )
    in_place = options.isolation is None
    chosen, what = interpreter.choose(options.python, needed=needed if in_place else ())
    if what:
        complain(
            f"both sides run in {what}, {chosen.python} (Python {chosen.version}); "
            "choose another one with --python"
        )
    return environment.sides(
        None,
        options.baseline or "",
        options.candidate,
        interpreter=chosen,
        isolation=options.isolation,
        carried=options.carried,
        cache=cache.BuildCache.of_user(),
    )
