"""What is imported before a worker is forked, so that not every worker has to import it.

It is what belongs to the environment: neither to a side, nor to the user's checkout, nor to what
pytest must see imported, because it rewrites the asserts of tests, conftests and plugins.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .processes import KERNEL, children, numbers

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from types import FrameType

HERE = os.path.realpath(Path(__file__).parents[1]) + os.sep
REWRITER = "_pytest.assertion.rewrite"
"""Where pytest has the loader of modules of which it rewrites the asserts."""


# What a session reports


def environment_folders() -> tuple[str, ...]:
    """Returns the folders on the import path that the interpreter itself has, without links.

    These are those that PYTHONPATH does not add. Each ends with a separator.
    """
    added = os.environ.get("PYTHONPATH", "")
    entries = {os.path.realpath(entry) for entry in added.split(os.pathsep)} if added else set()
    folders = dict.fromkeys(os.path.realpath(entry) for entry in sys.path)
    return tuple(folder + os.sep for folder in folders if folder not in entries)


def imported_modules(
    environment: tuple[str, ...], checkouts: Iterable[str]
) -> tuple[list[str], list[str]]:
    """Returns the modules of the environment, each after those it needs, and all other names.

    Args:
        environment: The folders of the interpreter, as `environment_folders` returns them.
        checkouts: Folders of the user's. Of what lies in them, only the interpreter's own packages
            belong to the environment, where it has its place in one.

    Returns:
        The full names of the former, and the top-level names of what lies elsewhere or must be
        imported by pytest.
    """
    users = [os.path.realpath(folder) + os.sep for folder in checkouts]
    roots = tuple(folder for folder in environment if not is_below(folder, users))
    places = Places()
    modules, elsewhere, rewritten = [], set(), set()
    for name, module in list(sys.modules.items()):
        top = name.partition(".")[0]
        if not isinstance(module, ModuleType) or top == "__main__":
            continue
        if type(getattr(module, "__loader__", None)).__module__ == REWRITER:
            rewritten.add(top)
        for file in files_of(module):
            real = places.real(file)
            if real.startswith(HERE):
                continue
            if not real.startswith(roots):
                elsewhere.add(top)
            elif file == module.__dict__.get("__file__") and name == name_of(module):
                modules.append(name)
    # pytest warns of a module of a plugin that was imported before it could rewrite its asserts.
    left_out = elsewhere | (rewritten - {"_pytest"})
    kept = [name for name in modules if name.partition(".")[0] not in left_out]
    return kept, sorted(left_out)


def is_below(path: str, folders: Iterable[str]) -> bool:
    """Returns whether a path lies in one of these folders, without a virtual environment in it.

    Args:
        path: A real path.
        folders: Real paths, each with a separator at its end.
    """
    prefix = os.path.realpath(sys.prefix) + os.sep
    for folder in folders:
        has_environment = prefix != folder and prefix.startswith(folder)
        if path.startswith(folder) and not (has_environment and path.startswith(prefix)):
            return True
    return False


class Places:
    """Real paths, of which each folder is looked up once."""

    def __init__(self) -> None:
        self.folders: dict[str, str] = {}

    def real(self, file: str) -> str:
        """Returns the path of a file of which the folders' links are followed."""
        folder, name = os.path.split(file)
        if folder not in self.folders:
            self.folders[folder] = os.path.realpath(folder)
        return os.path.join(self.folders[folder], name)  # noqa: PTH118  # there are thousands


def files_of(module: ModuleType) -> list[str]:
    """Returns the file of a module, or the folders of a package that has none."""
    file = module.__dict__.get("__file__")
    if isinstance(file, str):
        return [file]
    try:
        # A folder ends with a separator, so that it lies in itself.
        return [os.path.join(str(place), "") for place in module.__dict__.get("__path__", ())]  # noqa: PTH118
    except Exception:  # noqa: BLE001  # a package may compute its path
        return []


def name_of(module: ModuleType) -> str | None:
    """Returns the name by which the import system knows a module."""
    return getattr(module.__dict__.get("__spec__"), "name", None)


# What a parent does


@dataclass
class Refusal:
    """A finder that refuses names of the sides, and notes which modules have asked for one.

    Attributes:
        names: Top-level names that a side provides.
        modules: Modules that must not be loaded because of what they asked for.
        requested: The module whose import was ordered.
        askers: The modules that were being imported when a refused name was asked for.
    """

    names: frozenset[str] = frozenset()
    modules: set[str] = field(default_factory=set)
    requested: str = ""
    askers: set[str] = field(default_factory=set)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Raises ModuleNotFoundError for a refused name; finds nothing."""
        del path, target
        if name.partition(".")[0] in self.names or name in self.modules:
            self.askers |= {self.requested, *being_imported()}
            raise ModuleNotFoundError(f"No module named {name!r} before the fork", name=name)


def being_imported() -> set[str]:
    """Returns the modules whose code is being run for the first time."""
    names = set()
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "<module>":
            names.add(str(frame.f_globals.get("__name__")))
        frame = frame.f_back
    return names - {"__main__"}


@dataclass
class Preparation:
    """What a parent imports, and what of it must not be there when it forks.

    Attributes:
        refusal: The finder that comes first.
        folders: Real paths of folders from which nothing may be loaded, with a separator.
        startup: Modules that the interpreter has loaded when it was started.
        possessions: What the process had before an import.
        spoilt: The modules that have spoilt this process, each with the reason.
    """

    refusal: Refusal
    folders: tuple[str, ...]
    startup: frozenset[str]
    possessions: dict[str, int] = field(default_factory=dict)
    spoilt: dict[str, str] = field(default_factory=dict)

    def refuse(
        self, provided: Iterable[str], portions: Iterable[str], elsewhere: Iterable[str]
    ) -> list[str]:
        """Refuses names from now on; returns those that this process has already loaded.

        Args:
            provided: Top-level names of modules and packages in the folders of a side.
            portions: Names of folders without `__init__.py`. They are only imported where no
                package has the name.
            elsewhere: Top-level names that a session had and that are not of the environment.
        """
        first = {*provided, *(name for name in portions if not is_package(name))}
        self.refusal.names |= first | set(elsewhere)
        loaded = {name.partition(".")[0] for name in sys.modules} - {"__main__"}
        return sorted(first & loaded | set(elsewhere) & loaded - self.startup)

    def load(self, names: Iterable[str]) -> None:
        """Imports modules, in this order; keeps which ones have spoilt this process, and why.

        It goes on after that, to find all of them: a module that was spoilt is refused, so those
        that need it are found, too.
        """
        for name in names:
            if name in sys.modules or name in self.refusal.modules:
                continue
            before = set(sys.modules)
            self.refusal.requested, failure = name, ""
            try:
                importlib.import_module(name)
            except BaseException as error:  # noqa: BLE001  # whatever a module does
                failure = f"{type(error).__name__}: {error}"
            if self.refusal.askers:
                self._spoil(self.refusal.askers, "it asks for code of the project")
            elif failure:
                self._spoil({name}, f"it cannot be imported ({failure})")
            elif foreign := self._foreign(set(sys.modules) - before):
                self._spoil({name, *foreign}, "it loads code of the project")
            elif gained := self._gained():
                self._spoil({name}, f"it leaves {gained} behind")
            self.refusal.askers = set()

    def _spoil(self, names: Collection[str], reason: str) -> None:
        for name in names:
            self.spoilt.setdefault(name, reason)
            self.refusal.modules.add(name)
            sys.modules.pop(name, None)

    def _foreign(self, names: Iterable[str]) -> set[str]:
        """Returns the modules among these that were loaded from folders that are not allowed."""
        found, places = set(), Places()
        for name in names:
            module = sys.modules[name]
            for file in files_of(module) if isinstance(module, ModuleType) else ():
                real = places.real(file)
                if is_below(real, self.folders) and not real.startswith(HERE):
                    found.add(name)
        return found

    def _gained(self) -> str:
        """Returns of what there is more than before, in words; empty if there is nothing."""
        before, self.possessions = self.possessions, possessions()
        for kind, number in self.possessions.items():
            if number > before.get(kind, 0):
                return kind
        return ""


def is_package(name: str) -> bool:
    """Returns whether the environment has a module or package of this name, with a file."""
    if name in sys.builtin_module_names or name in sys.stdlib_module_names:
        return True
    spec = importlib.machinery.PathFinder.find_spec(name)
    return spec is not None and spec.origin is not None


def possessions() -> dict[str, int]:
    """Returns how much this process has of what two forks of it could not share.

    A thread does not survive a fork. An open file, such as that of a device, has one position and
    one state for all. What is in the temporary folder is removed by the first that ends.
    """
    process = KERNEL.itself()
    return {
        "a thread": len(numbers("/proc/self/task")),
        "an open file": len(numbers("/proc/self/fd")),
        "a process": len(children(process)),
        "a temporary file": len(KERNEL.names(tempfile.gettempdir())),
    }
