"""Builds of sides that are kept for the next run.

A build is found again by its recipe. What is kept is what the build has installed, and what it has
written into the tree beside that. It is written aside and renamed when it is complete, with a
digest, which is checked whenever it is used. Every failure here is only a build that is made again.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
import time
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from flopline.gate.sides.recipe import Source, at_home, digest_of, recipe, snapshot, toolchain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from flopline.gate.sides.build import Workspace
    from flopline.gate.sides.interpreter import Interpreter
    from flopline.gate.sides.recipe import Recipe

MOST_BYTES = 2 << 30
"""So much is kept; what was not used for the longest time is removed first."""
MOST_SECONDS = 14 * 24 * 3600.0
"""Nothing older is used: what a build downloads, or finds on the system, changes with the time."""
MOST_BYTES_IN_TREE = 64 << 20
"""A build that writes more than this into the tree is not kept."""
BUILD_FOLDERS = re.compile(
    r"build|dist|target|_skbuild|cmake-build.*|\.mesonpy.*|.*\.egg-info|\.eggs|__pycache__|.*_cache"
)
"""Folders into which builds write what they need only while they build."""
ASIDE = "aside-"
"""The names of folders that are being written, or removed, begin with this."""
ELF = b"\x7fELF"
SOURCE_NAME = re.compile(
    rb"\.(c|cc|cpp|cxx|h|hh|hpp|hxx|inc|ipp|pyx|pxd|pxi|rs|f|f90|s)\Z", re.IGNORECASE
)
"""What a compiler leaves in a module for its messages are the names of source files."""


@dataclass(frozen=True)
class Facts:
    """What is kept about a build.

    Attributes:
        made: When it was made, in seconds since 1970.
        site: The digest of what was installed.
        tree: The digest of what was written into the tree.
        size: Its size in bytes.
        compiled: Whether it has compiled modules or programs.
        toolchain: What compiled it.
        together: The same for all sides that were built in one run.
    """

    made: float
    site: str
    tree: str
    size: int
    compiled: bool
    toolchain: str
    together: str

    @property
    def when(self) -> str:
        """When it was made, in words."""
        return datetime.fromtimestamp(self.made, UTC).strftime("%Y-%m-%d %H:%M UTC")


@dataclass(frozen=True)
class BuildCache:
    """The folder in which builds are kept.

    Attributes:
        folder: The folder; it is made when something is stored.
    """

    folder: Path

    @classmethod
    def of_user(cls) -> BuildCache | None:
        """Returns the cache of the user who runs this program; None for one without a home."""
        named = os.environ.get("XDG_CACHE_HOME", "")
        # The specification tells to ignore a relative path.
        home = Path(named) if Path(named).is_absolute() else at_home("~/.cache")
        return cls(home / "flopline" / "builds") if home.is_absolute() else None

    def look_up(self, recipe: Recipe) -> Facts | None:
        """Returns the facts about a build that may be used; None if there is none."""
        try:
            if not self._is_own():
                return None
            text = (self.folder / recipe.digest / "facts.json").read_text("utf-8")
            facts = Facts(**json.loads(text))
            is_of_now = 0 <= time.time() - facts.made <= MOST_SECONDS
        except (OSError, TypeError, ValueError):
            return None
        if not is_of_now or (facts.compiled and facts.toolchain != toolchain()):
            return None
        return facts

    def restore(self, recipe: Recipe, facts: Facts, workspace: Workspace) -> bool:
        """Puts a build where it would have been made; returns whether it is complete.

        Args:
            recipe: The recipe of the build.
            facts: What `look_up` has returned for it.
            workspace: Where the side is built, with its copy of the version.
        """
        kept = self.folder / recipe.digest
        try:
            shutil.copytree(kept / "site", workspace.packages, symlinks=True)
            is_complete = digest_of(workspace.packages) == facts.site
            if is_complete and digest_of(kept / "tree") == facts.tree:
                written = kept / "tree"
                shutil.copytree(
                    written, workspace.folder / "tree", symlinks=True, dirs_exist_ok=True
                )
                with contextlib.suppress(OSError):  # a cache that can only be read is used, too
                    os.utime(kept)  # it is used
                return True
        except OSError:
            pass
        shutil.rmtree(workspace.packages, ignore_errors=True)
        self._remove(kept)
        return False

    def store(self, recipe: Recipe, workspace: Workspace, together: str) -> None:
        """Keeps a build that was just made, unless it could not be used elsewhere.

        Args:
            recipe: Its recipe, from before it was made.
            workspace: Where it was made.
            together: The same for all sides that are built in this run.
        """
        aside = None
        with contextlib.suppress(OSError):
            try:
                self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                if not self._is_own():
                    return
                aside = Path(tempfile.mkdtemp(prefix=ASIDE, dir=self.folder))
                if self._write(aside, recipe, workspace, together):
                    kept = self.folder / recipe.digest
                    if kept.exists():  # it could not be used, or another run was faster
                        self._remove(kept)
                    aside.rename(kept)
            finally:
                if aside is not None:
                    shutil.rmtree(aside, ignore_errors=True)
            self._keep_limits()

    def _write(self, aside: Path, recipe: Recipe, workspace: Workspace, together: str) -> bool:
        """Copies a build into a folder; returns whether it is one that can be used elsewhere."""
        written = _written(workspace.folder / "tree", recipe)
        if written is None:
            return False
        shutil.copytree(workspace.packages, aside / "site", symlinks=True)
        (aside / "tree").mkdir()
        for name in written:
            (aside / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            source = workspace.folder / "tree" / name
            shutil.copy2(source, aside / "tree" / name, follow_symlinks=False)
        temporary = os.fsencode(workspace.folder.parent.name)
        size, compiled = 0, False
        for path in aside.rglob("*"):
            if path.is_symlink():
                if path.readlink().is_absolute():
                    return False
            elif path.is_file():
                content = path.read_bytes()
                if mentions(path.name, content, temporary):
                    return False
                size += len(content)
                compiled = compiled or content.startswith(ELF)
        facts = Facts(
            made=time.time(),
            site=digest_of(aside / "site"),
            tree=digest_of(aside / "tree"),
            size=size,
            compiled=compiled,
            toolchain=toolchain() if compiled else "",
            together=together,
        )
        (aside / "facts.json").write_text(json.dumps(asdict(facts)), "utf-8")
        return True

    def _is_own(self) -> bool:
        """Returns whether nobody else can write into the folder.

        Raises:
            OSError: There is no such folder.
        """
        facts = self.folder.stat()
        return facts.st_uid == os.getuid() and not facts.st_mode & 0o022

    def _keep_limits(self) -> None:
        """Removes what is too old, and what was used the longest time ago if it is too much."""
        now = time.time()
        entries = []
        for path in self.folder.iterdir():
            age = now - path.stat().st_mtime
            if age > MOST_SECONDS or (path.name.startswith(ASIDE) and age > 24 * 3600):
                self._remove(path)
            elif not path.name.startswith(ASIDE):
                entries.append((age, path))
        total = 0
        for _, path in sorted(entries):
            try:
                total += int(json.loads((path / "facts.json").read_text("utf-8"))["size"])
            except (OSError, LookupError, TypeError, ValueError):
                self._remove(path)
            else:
                if total > MOST_BYTES:
                    self._remove(path)

    def _remove(self, path: Path) -> None:
        """Removes an entry at once for all who look for it."""
        with contextlib.suppress(OSError):
            aside = Path(tempfile.mkdtemp(prefix=ASIDE, dir=self.folder))
            try:
                path.rename(aside / "removed")
            finally:
                shutil.rmtree(aside, ignore_errors=True)


class KeptBuilds:
    """The builds of one run that may come from the cache, or go there.

    Its recipes are of the versions before anything is built.
    """

    def __init__(
        self,
        cache: BuildCache | None,
        workspaces: Sequence[Workspace],
        interpreter: Interpreter,
        installer: str,
    ) -> None:
        self._cache = cache
        self._workspaces = workspaces
        self._recipes: dict[tuple[Workspace, bool], Recipe] = {}
        self._damaged: set[str] = set()
        for workspace in workspaces if cache is not None else ():
            with contextlib.suppress(OSError):  # the build itself reports what cannot be read
                source = Source.of(workspace.folder / "tree")
                for isolated in (False, True):
                    known = recipe(source, workspace, interpreter, installer, isolated=isolated)
                    if known is not None:
                        self._recipes[workspace, isolated] = known

    def restore(self, *, isolated: bool) -> dict[Workspace, str]:
        """Puts builds of earlier runs in their place, and returns when each was made, in words.

        A build with an environment of its own takes the newest tools that it can download. So if it
        has compiled something, it is only used together with the other side's of the same run.

        Args:
            isolated: Whether this run's builds have environments of their own.
        """
        found = {}
        for workspace in self._workspaces:
            shutil.rmtree(workspace.packages, ignore_errors=True)  # of an attempt that failed
            if (facts := self._look_up(workspace, isolated=isolated)) is not None:
                found[workspace] = facts
        runs = {facts.together for facts in found.values()}
        if isolated and (len(found) < len(self._workspaces) or len(runs) > 1):
            found = {workspace: facts for workspace, facts in found.items() if not facts.compiled}
        restored = {}
        for workspace, facts in found.items():
            known = self._recipes[workspace, isolated]
            if self._cache is not None and self._cache.restore(known, facts, workspace):
                restored[workspace] = facts.when
            else:  # it may still be there, in a folder that can only be read
                self._damaged.add(known.digest)
        if isolated and len(restored) < len(found):  # one of them was damaged
            return self.restore(isolated=isolated)
        return restored

    def _look_up(self, workspace: Workspace, *, isolated: bool) -> Facts | None:
        known = self._recipes.get((workspace, isolated))
        if known is None or self._cache is None or known.digest in self._damaged:
            return None
        return self._cache.look_up(known)

    def store(self, made: Iterable[Workspace], *, isolated: bool) -> None:
        """Keeps the builds that this run has made."""
        together = uuid.uuid4().hex
        for workspace in made:
            known = self._recipes.get((workspace, isolated))
            if known is not None and self._cache is not None:
                self._cache.store(known, workspace, together)


def _written(tree: Path, recipe: Recipe) -> list[str] | None:
    """Returns the files that a build has written into the tree; None if they cannot be kept."""
    after = snapshot(tree)
    if not recipe.snapshot.keys() <= after.keys():
        return None
    written = []
    for name, facts in after.items():
        is_kept = not any(map(BUILD_FOLDERS.fullmatch, Path(name).parts[:-1]))
        if is_kept and recipe.snapshot.get(name) != facts:
            written.append(name)
    if sum(after[name][0] for name in written) > MOST_BYTES_IN_TREE:
        return None
    return written


def mentions(name: str, content: bytes, temporary: bytes) -> bool:
    """Returns whether a file could need the folder in which it was built, which is gone later.

    Byte code and the note where a package came from name it without a need. So do debuggers'
    sections of compiled modules, and the names of source files in their messages.

    Args:
        name: The file's name.
        content: Its content.
        temporary: The name of the folder.
    """
    if temporary not in content or name.endswith(".pyc") or name == "direct_url.json":
        return False
    if not content.startswith(ELF):
        return True
    return any(
        not SOURCE_NAME.search(text) for text in _texts_with(temporary, loaded_parts(content))
    )


def _texts_with(name: bytes, content: bytes) -> Iterator[bytes]:
    """Yields the texts of a compiled module that contain a name."""
    at = content.find(name)
    while at >= 0:
        end = content.find(b"\0", at)
        end = len(content) if end < 0 else end
        yield content[content.rfind(b"\0", 0, at) + 1 : end]
        at = content.find(name, end)


def loaded_parts(content: bytes) -> bytes:
    """Returns the sections of an ELF file that are loaded when it is run.

    All of it is returned where the file is of another kind than on most machines.
    """
    is_64_bit_little_endian = content[4:6] == b"\x02\x01"
    if not is_64_bit_little_endian:
        return content
    start = int.from_bytes(content[0x28:0x30], "little")
    size = int.from_bytes(content[0x3A:0x3C], "little")
    count = int.from_bytes(content[0x3C:0x3E], "little")
    parts = []
    for number in range(count):
        header = content[start + number * size : start + (number + 1) * size]
        flags, place, length = (
            int.from_bytes(header[at : at + 8], "little") for at in (0x08, 0x18, 0x20)
        )
        is_allocated = flags & 0x2  # SHF_ALLOC, elf(5)
        if is_allocated:
            parts.append(content[place : place + length])
    return b"\0".join(parts) if count else content
