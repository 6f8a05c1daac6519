"""What is asked of some benchmarks in particular, and by which patterns they are named.

A pattern is compared with the whole node id of a benchmark, and with every end of it that begins
after a slash of its path or after `::`, each with and without parameters. So `test_a`,
`test_a[tile]`, `TestB::test_c` and `bench/test_matmul.py::*` find what they name wherever it lies,
also as the reports show it. In a pattern `*` stands for any characters, and `?` for one. Square
brackets stand for themselves, because the names of benchmarks have them.
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

MOST_ANSWERS = 100_000
"""So many answers of `matches` are remembered, because a run asks for each of them many times."""


@dataclass(frozen=True)
class Rule:
    """What is asked of the benchmarks that a pattern finds; None leaves it as it is.

    Attributes:
        pattern: The pattern.
        detect: The relative slowdown that must be found.
        ignore: Whether they are not measured.
        report_only: Whether they are measured, and never change the exit code.
    """

    pattern: str
    detect: float | None = None
    ignore: bool | None = None
    report_only: bool | None = None

    def over(self, other: Rule) -> Rule:
        """Returns this rule, in which what it leaves open is as in another."""
        return Rule(
            self.pattern,
            detect=other.detect if self.detect is None else self.detect,
            ignore=other.ignore if self.ignore is None else self.ignore,
            report_only=other.report_only if self.report_only is None else self.report_only,
        )


@lru_cache(maxsize=MOST_ANSWERS)
def matches(pattern: str, benchmark: str) -> bool:
    """Returns whether a pattern finds a benchmark.

    Args:
        pattern: The pattern.
        benchmark: pytest's node id.
    """
    expression = _compiled(pattern)
    return any(expression.match(ending) for ending in endings(benchmark))


@lru_cache(maxsize=MOST_ANSWERS)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern.replace("[", "[[]")))


def endings(benchmark: str) -> list[str]:
    """Returns a node id, and what remains of it without its first folders, file and classes.

    What has parameters also comes without them.
    """
    # Parameters may hold anything, also slashes and colons.
    whole, bracket, parameters = benchmark.partition("[")
    file, colons, test = whole.partition("::")
    folders = file.split("/")
    names = [f"{'/'.join(folders[place:])}{colons}{test}" for place in range(len(folders))]
    classes = test.split("::") if colons else []
    names += ["::".join(classes[place:]) for place in range(len(classes))]
    if not bracket:
        return names
    return [f"{name}{bracket}{parameters}" for name in names] + names


def unmatched(patterns: Iterable[str], benchmarks: Collection[str]) -> list[str]:
    """Returns the patterns that find none of some benchmarks."""
    return [
        pattern
        for pattern in patterns
        if not any(matches(pattern, benchmark) for benchmark in benchmarks)
    ]
