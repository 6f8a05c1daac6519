"""Each version as a folder of its own, in which git answers as it does in the checkout.

The user's index, branches, worktrees and files are only read.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from flopline import FloplineError, git
from flopline.gate.sides import repository
from flopline.gate.sides.tree import NOT_COPIED, SURROUNDINGS, is_behind_link

if TYPE_CHECKING:
    from flopline.gate.sides.versions import Version

LIST_FILES = ("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")
"""Arguments of git that list the files of a working tree that are not ignored."""


class ExportError(FloplineError, RuntimeError):
    """A version could not be written into a folder."""


def export(version: Version, folder: Path) -> Path:
    """Writes a version into a new folder and returns the project's folder in it.

    Args:
        version: The version.
        folder: The folder to make. Git may use temporary files beside it.

    Raises:
        ExportError: A file could not be copied, or the commit of a submodule or the project's
            folder does not exist.
        GitError: Git failed.
    """
    folder.mkdir(parents=True)
    try:
        if version.kind == "commit":
            git.write_commit(version.source, version.commit, folder, repository.attach)
        elif version.kind == "working tree":
            _copy_checkout(version.source, folder)
        else:
            _copy_folder(version, folder)
    except (OSError, git.SubmoduleError) as error:
        raise ExportError(
            f"the {version.name}, {version.label}, could not be copied: {_reason(error)}"
        ) from error
    project = folder / version.project
    if not project.is_dir():
        raise ExportError(
            f"the {version.name}, {version.label}, has no folder {version.project}, "
            "or git ignores it; run in a folder of the project that both versions have"
        )
    return project


def _reason(error: Exception) -> str:
    if isinstance(error, shutil.Error):  # `copytree` raises one error for all files
        _, _, reason = error.args[0][0]
        return str(reason)
    return str(error)


def _copy_checkout(checkout: Path, target: Path) -> None:
    """Copies the working tree of a checkout as it is now, with those of its submodules.

    Each copy gets a repository, in which git tracks what it tracks in the checkout.
    """
    for name in git.run(checkout, *LIST_FILES).split("\0"):
        path = checkout / name
        # Where a link has replaced a folder, the index still has the files of the folder. To copy
        # them would write through the link.
        if not name or NOT_COPIED("", list(Path(name).parts)) or is_behind_link(path):
            continue
        if path.is_symlink() or path.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target / name, follow_symlinks=False)
        elif _is_submodule(checkout, name):
            _copy_checkout(path, target / name)
    target.mkdir(parents=True, exist_ok=True)
    repository.attach_checkout(checkout, target)


def _is_submodule(checkout: Path, name: str) -> bool:
    """Returns True for submodules and False for repositories that only lie in the working tree.

    Git lists the latter, which are untracked, with a slash at the end.
    """
    return (checkout / name / ".git").exists() and not name.endswith("/")


def _copy_folder(version: Version, target: Path) -> None:
    """Copies a folder; if it lies in a checkout, the copy lies in a repository in the same place.

    What is above the folder in its checkout is left out, but for the files that configure pytest.
    """
    source = version.source / version.project
    shutil.copytree(
        source, target / version.project, symlinks=True, ignore=_not_copied, dirs_exist_ok=True
    )
    if git.ask(source, "rev-parse", "--show-toplevel") != str(version.source):
        return
    for above in version.project.parents:
        for name in SURROUNDINGS:
            file = version.source / above / name
            if file.is_file() and not is_behind_link(file):
                shutil.copy2(file, target / above / name)
    repository.attach_checkout(version.source, target)
    if version.project.parts:
        repository.hide_missing(target, version.project)


def _not_copied(folder: str, names: list[str]) -> set[str]:
    """Selects what is no part of a version that no git ignores files of.

    Beside the usual caches these are virtual environments under any name, and the folders in which
    setuptools builds, because the next wheel would contain their files.
    """
    left_out = NOT_COPIED(folder, names)
    for name in names:
        is_environment = Path(folder, name, "pyvenv.cfg").exists()
        is_build_folder = any(Path(folder, name).glob("bdist.*"))
        if is_environment or is_build_folder:
            left_out.add(name)
    return left_out
