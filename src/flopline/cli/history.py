"""`flopline history`: measure commits, compare two of them, list lasting regressions.

Exit codes: 0 no regression; 1 a regression, or for `run` a case that failed; 2 the command could
not do its work; 3 most cases are undecided.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flopline.cli.console import Json, complain, fail, print_json, print_text, require, stdout
from flopline.gate.signals import held_back
from flopline.sheet import to_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from flopline.history.configuration import Configuration
    from flopline.history.record import History, UnreadableFile

app = typer.Typer(
    no_args_is_help=True, help="Measure the speed of commits, compare it, list regressions."
)

Machine = Annotated[
    str | None, typer.Option(metavar="NAME", help="Use only the results of this machine.")
]

NOTHING_CHANGED = "nothing was changed"
"""What is left behind by a command that only reads."""

SHOWN = 20
"""At most this many cases or benchmarks are named, which is about a screenful."""


@contextlib.contextmanager
def _interruptible(outcome: str) -> Iterator[None]:
    """Ends the command with a sentence when Ctrl-C, SIGTERM or SIGHUP asks for it."""
    try:
        yield
    except KeyboardInterrupt:
        fail(f"interrupted; {outcome}")


def _configuration() -> Configuration:
    try:
        configuration = importlib.import_module("flopline.history.configuration")
    except ModuleNotFoundError as error:
        fail(f"this needs {error.name}, which the history brings: pip install 'flopline[history]'")
    loaded: Configuration = configuration.load(Path.cwd())
    return loaded


def _history(configuration: Configuration, machine: str | None) -> History:
    from flopline.history import results

    history = results.read(configuration.results)
    if history.not_times:
        names = ", ".join(history.not_times[:SHOWN])
        complain(f"left out, because they measure no time: {names}")
    return history if machine is None else history.of_machine(machine)


def _name_files_left_out(files: Iterable[UnreadableFile]) -> None:
    for file in files:
        complain(f"left out: {file}")


@app.command("compare")
def compare_commits(
    baseline: Annotated[str, typer.Argument(help="The commit, branch or tag to compare with.")],
    candidate: Annotated[str, typer.Argument(help="The commit, branch or tag that may be slower.")],
    *,
    machine: Machine = None,
    as_json: Json = False,
) -> None:
    """Compare the stored results of two commits, case by case.

    A case is slower or faster if the change exceeds the case's threshold
    and the samples of the two commits differ.

    Exit codes: 0 no regression, 1 a regression,
    2 nothing was compared or a case was lost, 3 most cases are undecided.
    """
    with _interruptible(NOTHING_CHANGED):
        configuration = _configuration()
        from flopline import git
        from flopline.history import compare

        history = _history(configuration, machine)
        report = compare.compare_commits(
            history,
            compare.Commit(baseline, git.resolve(configuration.repository, baseline)),
            compare.Commit(candidate, git.resolve(configuration.repository, candidate)),
            configuration.thresholds,
        )
    _name_files_left_out(history.unreadable)
    if as_json:
        print_json(report.as_json())
    elif report.nothing_compared:
        fail(report.nothing_compared)
    else:
        for sheet in report.sheets():
            print_text(to_text(sheet, stdout().width))
    raise typer.Exit(report.exit_code)


@app.command("regressions")
def list_regressions(*, machine: Machine = None, as_json: Json = False) -> None:
    """List the slowdowns that the newest commits of this branch still have.

    They are found by asv's step detection.

    Exit codes: 0 there are none, 1 there are some, 2 there was nothing to search
    or the newest commit's file cannot be read.
    """
    with _interruptible(NOTHING_CHANGED):
        configuration = _configuration()
        from flopline import git
        from flopline.history import steps

        history = _history(configuration, machine)
        branch = git.branch(configuration.repository, configuration.branch)
        report = steps.regressions(history, branch, configuration.thresholds)
    _name_files_left_out(history.unreadable)
    if report.elsewhere:
        commits = ", ".join(commit[:8] for commit in report.elsewhere)
        complain(f"not on this branch, so not searched: {commits}")
    if not report.searched:
        fail(
            "no commit of this branch has results that can be read; measure some: "
            "nox -s history -- --commits 5, in another project asv run"
        )
    if as_json:
        print_json(report.as_json())
    elif report.steps:
        print_text(to_text(report.sheet(), stdout().width))
    else:
        print_text(f"no lasting regression in {len(report.searched)} commits\n")
    raise typer.Exit(report.exit_code)


@app.command("run")
def run_commits(
    revisions: Annotated[
        list[str] | None,
        typer.Argument(
            help="The commits to measure: a range (v1..HEAD), commits, tags, or the word tags for "
            "all tags."
        ),
    ] = None,
    *,
    newest: Annotated[
        int,
        typer.Option(
            "--commits",
            metavar="N",
            min=1,
            help="Without revisions, measure the newest N commits.",
        ),
    ] = 1,
    machine: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A name for this machine. By default it is made of processor, GPU and cores.",
        ),
    ] = None,
    scale: Annotated[
        Literal["quick", "full", "gate"], typer.Option(help="Which cases are measured.")
    ] = "quick",
    device: Annotated[
        str,
        typer.Option(help="Where they run: cpu, cuda or cuda:N. cuda implies --existing."),
    ] = "cpu",
    dtype: Annotated[
        Literal["float32", "float64", "bfloat16", "tf32"],
        typer.Option(help="The number type of the operands."),
    ] = "float32",
    existing: Annotated[
        bool,
        typer.Option("--existing", help="Measure in this environment instead of asv's own."),
    ] = False,
) -> None:
    """Measure the commits that have no results on this machine yet.

    asv keeps the results, and no question is asked.

    Exit codes: 0 done, 1 a case failed and is recorded as failed,
    2 nothing could be measured.
    """
    with _interruptible("what was measured is kept, and the next call goes on"):
        configuration = _configuration()
        # Inside an import of torch an exception ends the process, because C++ does not know it.
        with held_back():
            measuring = require("flopline.history.measuring")
        from flopline.history import runner

        commits = runner.choose(configuration.repository, revisions or [], newest)
        plan = measuring.prepare(
            configuration,
            machine=machine,
            scale=scale,
            device=device,
            dtype=dtype,
            existing=existing,
        )
        failed = runner.measure(plan, commits, show=_show_at_once)
    for case in failed[:SHOWN]:
        complain(f"failed at {case}")
    if len(failed) > SHOWN:
        complain(f"and {len(failed) - SHOWN} more cases failed")
    raise typer.Exit(1 if failed else 0)


def _show_at_once(text: str) -> None:
    """Prints a line of a long command's output as soon as it is there, also in a log."""
    print_text(text)
    sys.stdout.flush()
