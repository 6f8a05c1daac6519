"""Why pytest ended before any benchmark: the essential lines of its output, and what to do."""

from __future__ import annotations

import re

LONGEST = 12
"""Lines that are shown where nothing in the output is known to be essential."""
INTERNAL = re.compile(r"^INTERNALERROR> ([\w.]+: .*)", re.MULTILINE)
"""The error in pytest's report on a plugin or conftest that failed."""
ESSENTIAL = re.compile(
    r"""
      ^ERROR:\ (?!usage:)   # what pytest refuses
    | ^pytest\S*:\ error:   # the same, of an argument
    | ^ImportError\ while   # a conftest that cannot be imported
    | ^\S+\.py:\d+:\ in\    # where it stopped
    | ^E\ \ \               # and at which error
    | ^Exit:                # pytest.exit() of a conftest
    """,
    re.VERBOSE,
)
PREFIX = re.compile(r"^(ERROR:|pytest\S*: error:|E  |Exit:)\s*")
ADVICE = {
    "unrecognized arguments: ": (
        "the plugin that has this option is not installed there; install it, or leave the option "
        "out of the arguments and of the suite's addopts"
    ),
    "Missing required plugins: ": "install them into the environment of the suite",
    "Error importing plugin ": "install it into the environment of the suite",
    "No module named ": "install what is missing into the environment of the suite",
    "Warning: ": (
        "the suite turns warnings into errors; leave this one out with an argument, for example "
        "-- -W ignore::DeprecationWarning, or mend what it warns of"
    ),
}
"""What to do, by a part of a line."""


def complaint(output: str) -> str:
    """Returns the lines of pytest's output that say why it ended, and advice where there is some.

    Args:
        output: All output, or the text that a worker gave instead.
    """
    lines = [line.rstrip() for line in output.splitlines()]
    internal = INTERNAL.findall(output)
    essential = [PREFIX.sub("", line) for line in lines if ESSENTIAL.match(line)]
    if internal:
        essential = internal[-1:]
    if not essential:
        essential = [line for line in lines if line][-LONGEST:]
    text = "\n".join(dict.fromkeys(essential))
    for part, advice in ADVICE.items():
        if part in text:
            return f"{text}; {advice}"
    return text
