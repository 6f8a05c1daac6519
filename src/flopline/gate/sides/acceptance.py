"""Slowdowns that the candidate's commits accept: the trailers `Perf-Accepted: BENCHMARK`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flopline import git

if TYPE_CHECKING:
    from flopline.gate.sides.versions import Version

TRAILER = "Perf-Accepted"
"""The name of the trailer; git reads it from the last paragraph of a commit message."""
FORMAT = f"--format=%h%n%(trailers:key={TRAILER},valueonly,unfold)"


@dataclass(frozen=True)
class Acceptance:
    """What one trailer says.

    Attributes:
        pattern: The benchmarks whose slowdown is accepted; see `gate.rules`.
        commit: The short hash of the commit.
    """

    pattern: str
    commit: str


def acceptances(baseline: Version, candidate: Version) -> list[Acceptance]:
    """Returns what the commits accept that the candidate has and the baseline has not.

    The newest commit comes first. A working tree has the commits up to its HEAD. There is none
    where a version has no commit, as a folder.

    Raises:
        GitError: Git cannot read these commits.
    """
    if not baseline.commit or not candidate.commit or baseline.commit == candidate.commit:
        return []
    span = f"{baseline.commit}..{candidate.commit}"
    # No setting of the user's adds anything to what is printed.
    listing = ("log", "-z", "--no-show-signature", "--no-notes", FORMAT, span, "--")
    found = []
    for entry in git.run(candidate.source, *listing).split("\0"):
        commit, _, values = entry.partition("\n")
        patterns = [value.strip() for value in values.splitlines()]
        found += [Acceptance(pattern, commit) for pattern in patterns if pattern]
    return found
