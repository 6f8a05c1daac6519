"""An asv suite: where asv.conf.json says that it is, and how a side is told to run it."""

from __future__ import annotations

import contextlib
import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from flopline import FloplineError
from flopline.gate.sides.interpreter import NEEDED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from flopline.gate.sides.environment import Side
    from flopline.gate.sides.place import Place

CONFIGURATIONS = ("asv.conf.json", "asv.conf.jsonc")
"""The names under which asv looks for its configuration; both may hold comments."""
FOLDERS = ("", "benchmarks", "benchmark", "asv_bench", "asv_benchmarks", "bench")
"""Where the configuration lies as a rule, relative to the project."""
DEFAULT = "benchmarks"
"""The folder of the suite where the configuration names none."""
VARIABLE = "FLOPLINE_ASV"
"""The variable that tells a worker the folder of the suite, relative to where it starts."""
RUNNER = "asv_runner"
"""The package that a side needs to run such a suite."""
TEXT = r'"(?:\\.|[^"\\])*"'
COMMENTS = re.compile(rf"{TEXT}|//[^\n]*|/\*.*?\*/", re.DOTALL)
LAST_COMMAS = re.compile(rf"{TEXT}|,(?=\s*[}}\]])", re.DOTALL)
"""The texts in a JSON file, and what asv allows between them and JSON does not."""


class AsvSuiteError(FloplineError, ValueError):
    """There is no asv suite where one is asked for."""


@dataclass(frozen=True)
class AsvSuite:
    """An asv suite in the project of the user.

    Attributes:
        folder: Its folder, relative to the project.
        found: The configuration that names it, relative to the project; empty if the user did.
    """

    folder: PurePosixPath
    found: str = ""


def asked_for(place: Place, folder: str) -> AsvSuite:
    """Returns the suite that the user has named: its folder, or a configuration or its folder.

    Raises:
        AsvSuiteError: There is no such folder, or it is not one of benchmarks.
    """
    path = place.start / folder
    if path.is_file():
        return _configured(place, path)
    for name in CONFIGURATIONS:
        if (path / name).is_file():
            return _configured(place, path / name)
    return AsvSuite(_inside(place, path, f"--asv {folder}"))


def find(place: Place, *, asked: bool) -> AsvSuite | None:
    """Returns the suite that asv's configuration names; None if nobody asked and there is none.

    It is looked for where the user stands, then in the project and the folders in which it lies as
    a rule.

    Args:
        place: Where the user stands.
        asked: Whether the user wants an asv suite.

    Raises:
        AsvSuiteError: The user wants one, and there is no configuration, it cannot be read, or it
            names no folder of benchmarks.
    """
    starts = list(dict.fromkeys([place.start, place.project]))
    for start in starts:
        for folder in FOLDERS:
            for name in CONFIGURATIONS:
                if (start / folder / name).is_file():
                    with contextlib.nullcontext() if asked else contextlib.suppress(AsvSuiteError):
                        return _configured(place, start / folder / name)
    if asked:
        raise AsvSuiteError(
            f"there is no {CONFIGURATIONS[0]} in {' or '.join(map(str, starts))}, or in a folder "
            "of benchmarks there; name the folder of the suite: --asv DIR"
        )
    return None


def _configured(place: Place, file: Path) -> AsvSuite:
    """Returns the suite that a configuration names."""
    found = os.path.relpath(file, place.project)
    try:
        bare = COMMENTS.sub(_texts_only, file.read_text("utf-8"))
        content = json.loads(LAST_COMMAS.sub(_texts_only, bare))
    except (OSError, ValueError, RecursionError) as error:
        raise AsvSuiteError(f"{found} cannot be read: {error}; name the suite: --asv DIR") from None
    named = content.get("benchmark_dir", DEFAULT) if isinstance(content, dict) else None
    if not isinstance(named, str):
        raise AsvSuiteError(f"{found}: benchmark_dir is no text; name the suite: --asv DIR")
    return AsvSuite(_inside(place, file.parent / named, f"benchmark_dir in {found}"), found)


def _texts_only(match: re.Match[str]) -> str:
    return match[0] if match[0].startswith('"') else ""


def _inside(place: Place, path: Path, asked: str) -> PurePosixPath:
    """Returns the folder of a suite relative to the project.

    Raises:
        AsvSuiteError: It does not exist, lies outside of the project, or holds the whole project.
    """
    folder = path.resolve()
    if not folder.is_dir():
        raise AsvSuiteError(f"{asked} names no folder ({folder}); give that of the benchmarks")
    if not folder.is_relative_to(place.project) or folder == place.project:
        raise AsvSuiteError(
            f"{asked} is not a folder in {place.project}, so that both sides could not be given "
            "the same benchmarks; give a folder in the project that has nothing but benchmarks"
        )
    if not folder.name.isidentifier():
        raise AsvSuiteError(f"{asked} cannot be imported, because {folder.name!r} is no name")
    return PurePosixPath(folder.relative_to(place.project))


def check_patterns(patterns: Iterable[str]) -> None:
    """Raises AsvSuiteError if what selects benchmarks is no regular expression."""
    for pattern in patterns:
        if pattern.startswith("-"):
            raise AsvSuiteError(
                f"{pattern} is an option, but the suite is asv's: arguments after -- are regular "
                "expressions, and benchmarks are measured in whose names one of them is found"
            )
        try:
            re.compile(pattern)
        except re.error as error:
            raise AsvSuiteError(
                f"{pattern!r} is no regular expression ({error}); the suite is asv's, so arguments "
                "after -- select benchmarks by their names"
            ) from None


def needed(folder: str) -> tuple[str, ...]:
    """Returns the modules that a side needs to run the suite in a folder; empty means pytest's."""
    return (RUNNER,) if folder else NEEDED


def with_suite(sides: Sequence[Side], folder: str) -> list[Side]:
    """Returns sides whose workers run an asv suite instead of pytest.

    Args:
        sides: The sides.
        folder: The folder of the suite, relative to the project; empty if the suite is pytest's.
    """
    if not folder:
        return list(sides)
    told = []
    for side in sides:
        path = os.path.relpath(side.tree / folder, side.folder)
        told.append(replace(side, environment={**side.environment, VARIABLE: path}))
    return told
