"""Whose code a side has run: its own, the user's, or the same as the other side."""

from __future__ import annotations

import filecmp
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from flopline import FloplineError
from flopline.gate.sides.members import holding
from flopline.gate.sides.overlay import BUILT
from flopline.gate.sides.tree import NOT_COPIED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from flopline.gate.measure.worker.flopline_worker.protocol import LoadedFile
    from flopline.gate.sides.environment import Side
    from flopline.gate.sides.overlay import Overlaid

NAMED = 5
"""A message names at most this number of files."""
OWN_TEMPORARY = "flopline-"
"""The names of all temporary folders of the gate begin with this."""


class ForeignCodeError(FloplineError, RuntimeError):
    """A side has run code of the user's checkout instead of its own."""


def refuse_foreign(side: Side, loaded: Iterable[LoadedFile]) -> None:
    """Raises ForeignCodeError if a side has loaded code from the user's checkout.

    The checkout is the same for both sides, so a change of that code could not be seen.

    Args:
        side: The side.
        loaded: The files that it has loaded.
    """
    names = []
    for file, module, _ in loaded:
        root = holding(side.checkouts, Path(file))
        if root is None or _is_no_version(side, root, Path(file)):
            continue
        place = os.path.relpath(file, root)
        names.append(f"{module} ({place})" if module else place)
    if names:
        raise ForeignCodeError(
            f"the {side.name} runs code of your checkout instead of its own: {listed(names)}. "
            "An editable installation, PYTHONPATH or an absolute path in the suite leads there, "
            "so both versions would run the same code. Uninstall what is installed from there "
            "(or install it from a wheel), write the path relative to the file that uses it, or "
            "use --isolated"
        )


def _is_no_version(side: Side, root: Path, file: Path) -> bool:
    """Returns whether a file in a checkout belongs to no version of the project.

    That is so for the gate's own folders, for an environment in the checkout, and for another
    repository in it that is not a submodule.
    """
    temporary = Path(tempfile.gettempdir()).resolve()
    prefix = Path(side.python).absolute().parents[1]
    if file.is_relative_to(temporary):
        first = file.relative_to(temporary).parts[0]
        if first.startswith(OWN_TEMPORARY):
            return True
    if prefix != root and prefix.is_relative_to(root) and file.is_relative_to(prefix):
        return True
    for folder in file.parents:
        if folder == root:
            return False
        exported = (
            side.home is not None and (side.home / "tree" / folder.relative_to(root)).exists()
        )
        if (folder / ".git").exists() and not exported:
            return True
    return False


def listed(names: Sequence[str]) -> str:
    """Returns the first of some names, and how many more there are."""
    text = ", ".join(names[:NAMED])
    if len(names) > NAMED:
        text += f" and {len(names) - NAMED} more"
    return text


class SameCodeError(FloplineError, ValueError):
    """What differs between the versions was made equal, so nothing could be compared."""


def compare_code(
    sides: tuple[Side, Side],
    loaded: tuple[Sequence[LoadedFile], Sequence[LoadedFile]],
    overlaid: Overlaid,
    suite: Collection[str],
) -> list[str]:
    """Returns a warning if both sides have run the same code although their versions differ.

    Args:
        sides: The baseline and the candidate.
        loaded: The files that each of them has loaded.
        overlaid: What was made equal on both sides.
        suite: The files of the benchmarks, relative to the sides' trees.

    Raises:
        SameCodeError: All that differs lies among the benchmark files, and some of it may be the
            code to measure.
    """
    baseline, candidate = sides
    if _is_one_commit(baseline, candidate):
        return []
    before = _own_code(baseline, loaded[0], suite)
    after = _own_code(candidate, loaded[1], suite)
    if before.keys() != after.keys():
        return []
    changed = [name for name in before if before[name] != after[name]]
    if any(Path(name).suffix not in BUILT for name in changed):
        return []
    outside = next(_differences(baseline, candidate), None)
    if changed and outside is not None:
        return []
    ran = _names(candidate, loaded[1])
    doubtful = [name for name in overlaid.doubtful if name in ran or not name.endswith(".py")]
    if doubtful:
        raise SameCodeError(
            "both sides ran the same code: of all that it loads, the versions differ only in "
            f"{listed(sorted(doubtful))}, which was taken for a part of the benchmarks and made "
            "equal on both sides. If it is code to measure, move it out of the folder of the "
            "benchmarks, or use --suite-from each; if it is not, there is nothing to compare"
        )
    if outside is None and not overlaid.replaced:
        return []
    reason = "no code that this suite runs differs between the versions"
    if overlaid.replaced:
        reason += ", except for the benchmark files, which were made equal"
    return [f"both sides ran byte-identical code: {reason}"]


def _is_one_commit(baseline: Side, candidate: Side) -> bool:
    versions = (baseline.version, candidate.version)
    changed = any(version.changed for version in versions)
    return bool(versions[0].commit) and versions[0].commit == versions[1].commit and not changed


def _own_code(side: Side, loaded: Sequence[LoadedFile], suite: Collection[str]) -> dict[str, str]:
    """Returns the hash of every file of its own that a side has loaded, without the benchmarks."""
    code = {}
    if side.home is not None:
        for file, _, digest in loaded:
            if Path(file).is_relative_to(side.home):
                code[os.path.relpath(file, side.home)] = digest
        for name in suite:
            code.pop(os.path.relpath(side.tree / name, side.home), None)
    return code


def _names(side: Side, loaded: Sequence[LoadedFile]) -> set[str]:
    """Returns the files that a side has loaded, relative to its tree where they lie in it."""
    return {os.path.relpath(file, side.tree) for file, _, _ in loaded}


def _differences(baseline: Side, candidate: Side) -> Iterator[str]:
    """Yields the files of the exported versions that still differ, except for what was built."""
    if baseline.home is None or candidate.home is None:
        return
    first, second = baseline.home / "tree", candidate.home / "tree"
    names = dict.fromkeys([*_files(first), *_files(second)])
    for name in names:
        one, other = first / name, second / name
        is_in_both = one.is_file() and other.is_file()
        if not is_in_both or not filecmp.cmp(one, other, shallow=False):
            yield name


def _files(tree: Path) -> Iterator[str]:
    for place, folders, names in os.walk(tree):
        left_out = NOT_COPIED(place, [*folders, *names])
        folders[:] = sorted(set(folders) - left_out)
        for name in names:
            path = Path(place, name)
            if name not in left_out and path.suffix not in BUILT and not path.is_symlink():
                yield str(path.relative_to(tree))
