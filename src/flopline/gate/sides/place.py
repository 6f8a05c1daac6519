"""Where the user stands, and what paths that were given there are in a side's copy."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flopline import FloplineError, git
from flopline.gate.sides.project import is_installable, is_project

if TYPE_CHECKING:
    from collections.abc import Sequence


class PlaceError(FloplineError, FileNotFoundError):
    """The folder in which a program runs was removed."""


@dataclass(frozen=True)
class Place:
    """Where the user stands: a folder, and the project and the checkout around it.

    Attributes:
        start: The folder.
        checkout: The root of the checkout; None where there is no git.
        project: The innermost project around the folder that can be installed, otherwise the
            innermost one, otherwise the root of the checkout.
    """

    start: Path
    checkout: Path | None
    project: Path

    @classmethod
    def here(cls) -> Place:
        """Returns the place in which this program runs.

        Raises:
            PlaceError: That folder was removed.
            NoWorkingTreeError, GitError, ProjectError: As `around`.
        """
        try:
            start = Path.cwd()
        except FileNotFoundError as error:
            raise PlaceError(
                "the folder in which flopline was started no longer exists; change to a folder of "
                "the project"
            ) from error
        return cls.around(start)

    @classmethod
    def around(cls, start: Path) -> Place:
        """Returns the place of a folder.

        Raises:
            NoWorkingTreeError: The folder lies in a bare repository or inside a `.git` folder.
            GitError: Git refuses to look.
            ProjectError: A pyproject.toml around the folder cannot be understood.
        """
        start = start.resolve()
        checkout = git.checkout_root(start)
        if checkout is None:
            return cls(start, None, start)
        around = [folder for folder in (start, *start.parents) if folder.is_relative_to(checkout)]
        # A folder of benchmarks is often a project of its own, whose subject lies around it.
        for is_wanted in (is_installable, is_project):
            for folder in around:
                if is_wanted(folder):
                    return cls(start, checkout, folder)
        return cls(start, checkout, checkout)

    @property
    def root(self) -> Path:
        """The folder of which each side has a copy."""
        return self.checkout or self.start

    @property
    def standing(self) -> Path:
        """Where the user stands, relative to the project."""
        return self.start.relative_to(self.project)

    def in_copy(self, path: Path, tree: Path) -> Path:
        """Returns the path that stands for a path of the user's in a side's copy.

        That is the path itself if it lies outside of what is copied, or git ignores it, because
        then it is part of no version.

        Args:
            path: The path; a relative one is meant from where the user stands.
            tree: The project's folder in the side's copy.
        """
        path = Path(os.path.normpath(self.start / path))
        inside = self._inside(path)
        if inside is None:
            return path
        copy = Path(os.path.normpath(tree / os.path.relpath(inside, self.project)))
        if not copy.exists() and self.checkout is not None and path.exists():
            ignored = git.ask(self.checkout, "check-ignore", "--", str(inside))
            return path if ignored else copy
        return copy

    def _inside(self, path: Path) -> Path | None:
        """Returns a path as one below the root; None if it lies elsewhere.

        A link that leads into the checkout is followed, but a link in the checkout is a part of it.
        """
        for folder in (*reversed(path.parents), path):
            real = folder.resolve()
            if real.is_relative_to(self.root):
                return real / path.relative_to(folder)
        return None

    def arguments(self, given: Sequence[str], tree: Path) -> list[str]:
        """Returns arguments for pytest in which the paths are those of a side's copy.

        Relative paths are left as they are, because a worker starts where the user stands. Only
        those that lead out of what is copied become absolute.
        """
        return [self._argument(argument, tree) for argument in given]

    def _argument(self, argument: str, tree: Path) -> str:
        name, equals, value = "", "", argument
        if "=" in argument and not self._leads_away(argument):
            name, equals, value = argument.partition("=")
        path, colons, inner = value.partition("::")
        if self._leads_away(path):
            path = str(self.in_copy(Path(path), tree))
        return f"{name}{equals}{path}{colons}{inner}"

    def _leads_away(self, text: str) -> bool:
        """Returns True for an absolute path, and for a relative one that leaves what is copied."""
        if Path(text).is_absolute():
            return True
        parts = Path(text).parts
        outside = ".." in parts and "\0" not in text
        return outside and self._inside(Path(os.path.normpath(self.start / text))) is None

    def python_path(self, value: str, tree: Path) -> list[str]:
        """Returns the entries of a PYTHONPATH of the user's for a side.

        Args:
            value: The variable; an empty entry stands for where the user stands.
            tree: The project's folder in the side's copy.
        """
        if not value:
            return []
        return [str(self.in_copy(Path(entry), tree)) for entry in value.split(os.pathsep)]
