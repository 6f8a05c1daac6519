"""The parents of a run: one at a time, from which the workers of several pairs are forked."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import threading
from dataclasses import dataclass, field
from importlib import machinery
from pathlib import Path
from typing import TYPE_CHECKING, Self

from flopline.gate.measure.orphans import adopted, adopts
from flopline.gate.measure.pair import shared_environment
from flopline.gate.measure.parent import ParentError, ParentProcess, Preparation
from flopline.gate.measure.worker.flopline_worker.imports import is_among
from flopline.gate.signals import held_back
from flopline.gate.temporary import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType

    from flopline.gate.measure.worker.flopline_worker.protocol import Imported
    from flopline.gate.sides.environment import Side

AT_STARTUP = ("sitecustomize", "usercustomize")
"""Modules that an interpreter imports when it is started, from wherever they are first."""
MOST_TRIALS = 4
"""How many parents are tried in a row, each without what has spoilt the one before."""
MOST_DEATHS = 3
"""After so many parents that have ended by themselves, no further one is started."""
MOST_PADDING = 4096


def draw_layout() -> tuple[int, int]:
    """Returns a random hash seed and a random number of bytes, for a new interpreter."""
    return 1 + secrets.randbelow(2**32 - 2), secrets.randbelow(MOST_PADDING)


@dataclass
class Parents:
    """From which parent the workers of the next pair are forked.

    It is used like this:

        with Parents(baseline, candidate) as parents:
            parents.learn([before.imported, after.imported])  # from the listing, if there is one
            run_block(..., parents=parents)                   # as often as one likes
            parents.prepare()                                 # starts the next parent already
            run_block(..., parents=parents)
            parents.renew()                                   # from now on, the next parent
            run_block(..., parents=parents)
        warnings.extend(parents.notes)

    Both workers of a pair have the same parent, and so the same hash seed and padding. What a
    parent imports is learned from what both sides of earlier pairs have imported. Where a parent is
    not possible, `current` returns None and the workers are started as new processes; `notes` then
    says why. All methods may be called from several threads.

    Attributes:
        baseline: The version that is compared with.
        candidate: The version that is judged.
        notes: Why workers were started as new processes, in sentences, each once.
        obstacle: Why no parent is possible in this run; empty as long as one may be.
        modules: What has been learned: modules to import, in their order.
        spoilt: The modules that may not be imported in a parent, and why.
        elsewhere: Packages and modules that are not of the environment.
        plugins: Packages and modules that pytest must import.
    """

    baseline: Side
    candidate: Side
    notes: list[str] = field(default_factory=list, init=False)
    obstacle: str = field(default="", init=False)
    modules: dict[str, None] = field(default_factory=dict, init=False)
    spoilt: dict[str, str] = field(default_factory=dict, init=False)
    elsewhere: set[str] = field(default_factory=set, init=False)
    plugins: set[str] = field(default_factory=set, init=False)
    _parent: ParentProcess | None = field(default=None, init=False)
    _next: ParentProcess | None = field(default=None, init=False)
    _deaths: int = field(default=0, init=False)
    _folder: Path = field(default_factory=Path, init=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False)
    _ends: contextlib.ExitStack = field(default_factory=contextlib.ExitStack, init=False)

    def __enter__(self) -> Self:
        """Looks whether a parent is possible; the first one is started when it is needed."""
        with contextlib.ExitStack() as ends:
            with held_back():
                ends.enter_context(adopted())
                self._folder = ends.enter_context(temporary_folder("flopline-")) / "parent"
                self._folder.mkdir()
                ends.callback(self._close)
            if obstacle := self._find_obstacle():
                self._give_up(obstacle)
            self._ends = ends.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends what is left."""
        self.obstacle = self.obstacle or "the run has ended"
        self._close()  # so that nobody waits for one any more, who holds the lock
        with self._lock:
            self._ends.__exit__(kind, error, trace)

    def _close(self) -> None:
        for parent in (self._parent, self._next):
            if parent is not None:
                parent.close()
        self._parent = self._next = None

    def current(self) -> ParentProcess | None:
        """Returns the parent of the next pair, ready to fork; None if there is none.

        A parent that was spoilt by what it has imported is replaced by one that does not import
        that.
        """
        with self._lock:
            for trial in range(MOST_TRIALS):
                if trial == MOST_TRIALS - 1:
                    self.spoilt |= dict.fromkeys(self.modules, "others were spoilt again and again")
                if self.obstacle:
                    return None
                try:
                    if self._parent is None:
                        self._parent, self._next = self._next or self._start(), None
                    answer = self._parent.ready()
                except ParentError as error:
                    self.failed(error, self._parent)
                    return None
                obstacle, spoilt = answer.get("obstacle", ""), answer.get("spoilt", {})
                if not obstacle and not spoilt:
                    return self._parent
                if obstacle and self._parent.preparations == 1:  # a new one would have it, too
                    self._give_up(obstacle)
                self.spoilt.update(spoilt)
                self._close()
            self._give_up("what was imported did not allow it, again and again")
            return None

    def learn(self, reports: Sequence[Imported | None]) -> None:
        """Keeps what sessions have imported, if all of them have, for this parent and the next.

        Args:
            reports: What the sessions of both sides have reported; nothing is kept if one is None.
        """
        told = [report for report in reports if report is not None]
        with self._lock:
            if len(told) < len(reports) or not told or self.obstacle:
                return
            first, *others = told
            shared = set(first.modules).intersection(*(report.modules for report in others))
            known = self.modules.keys() | self.spoilt.keys()
            new = [name for name in first.modules if name in shared and name not in known]
            elsewhere = self.elsewhere.union(*(report.elsewhere for report in told))
            plugins = self.plugins.union(*(report.plugins for report in told))
            if not new and elsewhere == self.elsewhere and plugins == self.plugins:
                return
            self.elsewhere, self.plugins = elsewhere, plugins
            self.modules.update(dict.fromkeys(new))
            for name in list(self.modules):
                if is_among(name, elsewhere | plugins):
                    del self.modules[name]
                    self.spoilt[name] = (
                        "a session had a module of this name that is not to be shared"
                    )
                    self._close()
            for parent in (self._parent, self._next):
                # Whether one is gone is for `current` to find out.
                if parent is not None:
                    with contextlib.suppress(ParentError):
                        self._ask(parent)

    def prepare(self) -> None:
        """Starts the parent that `renew` will take, and does not wait for it.

        It imports while others are measured, so there should be a CPU that nobody uses.
        """
        with self._lock:
            if self._next is None and not self.obstacle:
                try:
                    self._next = self._start()
                except ParentError as error:
                    self.failed(error)

    def renew(self) -> None:
        """Lets the next pair have another parent, and so another hash seed and padding."""
        with self._lock:
            old, self._parent, self._next = self._parent, self._next, None
            if old is not None:
                old.close()

    def failed(self, error: ParentError, parent: ParentProcess | None = None) -> None:
        """Notes that a parent could not be used, and ends it.

        Args:
            error: Why.
            parent: The parent; None if it was not even started.
        """
        with self._lock:
            self._note(str(error))
            if parent is not None and not parent.closed:
                self._deaths += 1
                parent.close()
            if parent is self._parent:
                self._parent = None
            if parent is None or self._deaths >= MOST_DEATHS:
                self._give_up(str(error))

    def _note(self, reason: str) -> None:
        note = f"workers were started one by one, and not forked from one process: {reason}"
        if note not in self.notes:
            self.notes.append(note)

    def _give_up(self, obstacle: str) -> None:
        self.obstacle = obstacle
        self._note(obstacle)
        self._close()

    def _find_obstacle(self) -> str:
        """Returns why no parent is possible, as far as that is known from the sides."""
        if sys.platform != "linux":
            return "that is only possible on Linux"
        if not adopts():
            return "the kernel does not give orphans to this program"
        if self.baseline.python != self.candidate.python:
            return "the sides have two interpreters"
        return self._different_variable() or startup_code(self._import_path())

    def _different_variable(self) -> str:
        """Returns which variable would have to be different before the fork."""
        ours, theirs = self.baseline.environment, self.candidate.environment
        for name in sorted(ours.keys() | theirs.keys()):
            if name != "PYTHONPATH" and ours.get(name) != theirs.get(name):
                return f"the sides have different values of {name}"
        return ""

    def _import_path(self) -> list[Path]:
        """Returns the folders that PYTHONPATH of either side names."""
        folders = []
        for side in (self.baseline, self.candidate):
            path = side.environment.get("PYTHONPATH", "")
            if path:
                folders += [side.folder / entry for entry in path.split(os.pathsep)]
        return list(dict.fromkeys(folders))

    def _start(self) -> ParentProcess:
        """Starts a parent, and asks for its imports.

        Raises:
            ParentError: It could not be started, or has ended.
        """
        hash_seed, padding = draw_layout()
        environment = shared_environment(hash_seed, padding) | self.baseline.environment
        environment.pop("PYTHONPATH", None)
        environment |= {"TMPDIR": str(self._folder)}
        with held_back():
            parent = ParentProcess.start(
                self.baseline.python,
                environment,
                self._folder,
                hash_seed=hash_seed,
                padding=padding,
            )
            try:
                self._ask(parent)
            except BaseException:
                parent.close()
                raise
        return parent

    def _ask(self, parent: ParentProcess) -> None:
        sides = (self.baseline, self.candidate)
        provided, portions = provided_names(self._import_path())
        folders: set[str] = set()
        for side in sides:
            own = [side.tree, *side.checkouts, *filter(None, [side.home, side.site])]
            folders.update(map(str, own))
        parent.prepare(
            Preparation(
                modules=list(self.modules),
                without=list(self.spoilt),
                provided=sorted(provided),
                portions=sorted(portions - provided),
                elsewhere=sorted(self.elsewhere),
                plugins=sorted(self.plugins),
                folders=sorted(folders),
            )
        )


def startup_code(folders: Iterable[Path]) -> str:
    """Returns what an interpreter finds in folders of the import path when it is started."""
    for folder in folders:
        if folder.is_file():
            return f"{folder} on the import path is an archive"
        for name in AT_STARTUP:
            if machinery.PathFinder.find_spec(name, [str(folder)]) is not None:
                return f"{folder} has a module {name}"
    return ""


def provided_names(folders: Iterable[Path]) -> tuple[set[str], set[str]]:
    """Returns the top-level names of modules and packages in folders of the import path.

    Returns:
        The names of modules and packages, and the names of folders without `__init__.py`.
    """
    suffixes = tuple(machinery.all_suffixes())
    provided: set[str] = set()
    portions: set[str] = set()
    for folder in folders:
        try:
            paths = list(folder.iterdir())
        except OSError:
            continue
        for path in paths:
            name = path.name.partition(".")[0]
            if not name.isidentifier():
                continue
            if path.name == name and path.is_dir():
                is_package = any((path / f"__init__{suffix}").exists() for suffix in suffixes)
                (provided if is_package else portions).add(name)
            elif path.name.endswith(suffixes):
                provided.add(name)
    return provided, portions
