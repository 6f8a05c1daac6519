"""The options of `flopline gate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

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
