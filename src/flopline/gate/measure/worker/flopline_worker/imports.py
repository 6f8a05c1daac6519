"""What is imported before a worker is forked, so that not every worker has to import it.

It is what belongs to the environment: neither to a side, nor to the user's checkout, nor to what
pytest must see imported, because it rewrites the asserts of tests, conftests and plugins.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType, ModuleType
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
) -> tuple[list[str], list[str], list[str]]:
    """Returns the modules of the environment, each after those it needs, and all other names.

    Args:
        environment: The folders of the interpreter, as `environment_folders` returns them.
        checkouts: Folders of the user's. Of what lies in them, only the interpreter's own packages
            belong to the environment, where it has its place in one.

    Returns:
        The names of the former that need none of the others, those of packages and modules that
        lie elsewhere, and those that are of plugins, so that pytest must import them.
    """
    users = [os.path.realpath(folder) + os.sep for folder in checkouts]
    roots = tuple(folder for folder in environment if not is_below(folder, users))
    places = Places()
    modules: list[str] = []
    elsewhere: set[str] = set()
    plugins: set[str] = set()
    for name, module in list(sys.modules.items()):
        top = name.partition(".")[0]
        if not isinstance(module, ModuleType) or top == "__main__":
            continue
        loader = getattr(module, "__loader__", None)
        if type(loader).__module__ == REWRITER:
            # pytest warns of a plugin that it was to rewrite and that was imported before that.
            # What it rewrites because of its file's name may as well be imported without.
            plugins |= getattr(loader, "_must_rewrite", {top})
        for file in files_of(module):
            real = places.real(file)
            if real.startswith(HERE):
                continue
            if not real.startswith(roots):
                elsewhere.add(name)
            elif file == module.__dict__.get("__file__") and name == name_of(module):
                modules.append(name)
    plugins = {name for name in plugins if name.partition(".")[0] != "_pytest"}
    kept = without_dependents(modules, elsewhere | plugins)
    return kept, outermost(elsewhere), outermost(plugins)


def without_dependents(names: list[str], refused: set[str]) -> list[str]:
    """Returns those modules that need no refused one, as far as their names for others show it.

    A parent finds the rest by trying, but then has to be started once more.
    """
    kept = [name for name in names if not is_among(name, refused)]
    needs = {name: needed_by(name) for name in kept}
    closed, before = set(refused), -1
    while before < len(closed):
        before = len(closed)
        for name in kept:
            if any(is_among(need, closed) for need in needs[name]):
                closed.add(name)
        kept = [name for name in kept if not is_among(name, closed)]
    return kept


def needed_by(name: str) -> set[str]:
    """Returns the modules that a module has names for, or for what they define.

    The modules of a package have names in it, too, but need not be loaded with it.
    """
    needed = set()
    for value in list(vars(sys.modules[name]).values()):
        if type(value) is ModuleType and not value.__name__.startswith(f"{name}."):
            needed.add(value.__name__)
        elif type(value) in (FunctionType, type):
            needed.add(str(value.__module__))
    return needed


def outermost(names: Collection[str]) -> list[str]:
    """Returns those of packages and modules whose packages are not among them."""
    return sorted(name for name in names if not is_among(name.rpartition(".")[0], names))


def is_among(name: str, names: Collection[str]) -> bool:
    """Returns whether a module, or a package that it belongs to, has one of these names."""
    while name:
        if name in names:
            return True
        name = name.rpartition(".")[0]
    return False


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
        return [file] if os.path.isabs(file) else []  # noqa: PTH117  # some make up a name
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
    """A finder and loader that refuses modules, and notes which ones have asked for them.

    Attributes:
        names: Packages and modules that a side provides, or that belong to no environment.
        plugins: Packages and modules that only pytest may import. One may ask where they are.
        modules: Modules that must not be loaded because of what they asked for.
        requested: The module whose import was ordered.
        askers: The modules that were being imported when a refused one was asked for.
        asked: What they have asked for.
    """

    names: frozenset[str] = frozenset()
    plugins: frozenset[str] = frozenset()
    modules: set[str] = field(default_factory=set)
    requested: str = ""
    askers: set[str] = field(default_factory=set)
    asked: str = ""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Raises ModuleNotFoundError for a refused module; finds those of plugins."""
        del target
        if name in self.modules or is_among(name, self.names):
            raise self.refuse(name)
        if not is_among(name, self.plugins):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None:
            spec.loader = self  # type: ignore[assignment]
        return spec

    def create_module(self, spec: Any) -> None:
        """Raises ModuleNotFoundError, because the module of a plugin is to be loaded."""
        raise self.refuse(spec.name)

    def exec_module(self, module: Any) -> None:
        """Raises ModuleNotFoundError, because the module of a plugin is to be loaded again."""
        raise self.refuse(module.__name__)

    def refuse(self, name: str) -> ModuleNotFoundError:
        """Returns the error for a refused module, and notes who has asked for it."""
        self.askers |= {self.requested, *being_imported()}
        self.asked = name
        return ModuleNotFoundError(f"No module named {name!r} before the fork", name=name)


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
        startup: The modules that the interpreter has loaded when it was started.
        possessions: What the process had before an import.
        spoilt: The modules that have spoilt this process, each with the reason.
    """

    refusal: Refusal
    folders: tuple[str, ...]
    startup: frozenset[str]
    possessions: dict[str, int] = field(default_factory=dict)
    spoilt: dict[str, str] = field(default_factory=dict)

    def refuse(
        self,
        provided: Iterable[str],
        portions: Iterable[str] = (),
        elsewhere: Iterable[str] = (),
        plugins: Iterable[str] = (),
    ) -> list[str]:
        """Refuses names from now on; returns those that this process has already loaded.

        Args:
            provided: Top-level names of modules and packages in the folders of a side.
            portions: Names of folders without `__init__.py`. They are only imported where no
                package has the name.
            elsewhere: Packages and modules that a session had and that are of no environment.
            plugins: Packages and modules that pytest must import.
        """
        first = {*provided, *(name for name in portions if not is_package(name))}
        self.refusal.names |= first | set(elsewhere)
        self.refusal.plugins |= set(plugins)
        loaded = sys.modules.keys() - {"__main__"}
        return sorted(first & loaded | {*elsewhere, *plugins} & loaded - self.startup)

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
                self._spoil(self.refusal.askers, f"it asks for {self.refusal.asked}")
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
    one state for all. Temporary files are not looked at, although the first worker that ends may
    remove them: most are caches that stay.
    """
    process = KERNEL.itself()
    return {
        "a thread": len(numbers("/proc/self/task")),
        "an open file": len(numbers("/proc/self/fd")),
        "a process": len(children(process)),
    }
