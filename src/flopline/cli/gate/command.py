"""The command `flopline gate`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import typer

from flopline.cli.console import complain, fail
from flopline.cli.gate.arguments import CONFIGURED, before_dashes
from flopline.cli.gate.bisect import BisectableCommand
from flopline.cli.gate.options import (
    Alpha,
    AlternateSetup,
    AsvFolder,
    Baseline,
    BaselinePython,
    Bisect,
    Budget,
    CallsDecide,
    Candidate,
    CandidatePython,
    Carry,
    Detect,
    Extra,
    Group,
    HtmlFile,
    Inconclusive,
    Isolated,
    JsonFile,
    JunitFile,
    MarkdownFile,
    PartOfSuite,
    Python,
    ReportOnly,
    SelfCheck,
    SuiteFrom,
    With,
)
from flopline.cli.gate.outputs import Outputs
from flopline.cli.gate.records import join, refuse_options, show
from flopline.cli.gate.running import GateOptions, check_itself, compare
from flopline.gate.configuration import ALPHA, BUDGET, DETECT, Configuration
from flopline.gate.record import MOST_PARTS, ExitCode, Part, Settings
from flopline.gate.sides.place import Place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flopline.gate.sides.isolation import Isolation

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
