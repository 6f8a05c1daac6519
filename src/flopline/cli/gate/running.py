"""Running the gate as it was requested."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from flopline.cli.console import complain, fail, print_text, show_progress
from flopline.cli.gate.bisect import bisect_code, of_this_commit
from flopline.cli.gate.outputs import Outputs, exit_code, print_record
from flopline.gate.signals import held_back
from flopline.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flopline.gate.record import Settings
    from flopline.gate.sides.environment import Side
    from flopline.gate.sides.isolation import Isolation
    from flopline.progress import Report


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


def compare(options: GateOptions) -> None:
    """Compares the two versions, reports, and ends with the gate's exit code."""
    from flopline.gate import run

    bisect = options.bisect
    with (
        of_this_commit() if bisect else contextlib.nullcontext(),
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
