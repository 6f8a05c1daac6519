"""What a build depends on: the same recipe gives the same build.

A build may read everything in the exported version, ask git about it, use what the interpreter has
installed, and be changed by any variable of the environment. Whatever is not known to be without
effect belongs to the recipe: a build that is made twice for nothing only costs time.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import platform
import re
import shutil
import stat
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement

from flopline import __version__, git
from flopline.gate.sides.project import read_pyproject, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flopline.gate.sides.build import Workspace
    from flopline.gate.sides.interpreter import Interpreter

WITHOUT_EFFECT = re.compile(
    r"_|PWD|OLDPWD|SHLVL|PS\d|COLUMNS|LINES|TERM(INFO|_.*)?|COLORTERM|LS_COLORS|LESS.*|HIST.*"
    r"|MAIL|LOGNAME|HOSTNAME|DISPLAY|WAYLAND_DISPLAY|WINDOWID|VTE_VERSION|TMUX.*|STY|TMPDIR"
    r"|(SSH|GPG|DBUS|GNOME|KDE|DESKTOP|XDG_SESSION|XDG_SEAT|XDG_RUNTIME|XDG_CURRENT)_.*|XDG_VTNR"
    r"|INVOCATION_ID|JOURNAL_STREAM|PYTEST_(CURRENT_TEST|VERSION)|VIRTUAL_ENV_PROMPT"
    r"|UV|UV_RUN_RECURSION_DEPTH|FLOPLINE_.*"
    # GitHub reserves its own three; these of GitLab name the job and what started it.
    r"|(GITHUB|RUNNER|ACTIONS)_.*|CI_(JOB|PIPELINE|COMMIT|RUNNER|MERGE_REQUEST|CONCURRENT)_.*"
)
"""The variables that describe the session or the CI job, and no build."""
SETTINGS = (
    *("/etc/pip.conf", "/etc/uv/uv.toml", "~/.pip/pip.conf", "~/.config/pip/pip.conf"),
    *("~/.config/uv/uv.toml", "~/.pydistutils.cfg", "~/.cargo/config", "~/.cargo/config.toml"),
)
"""Files with the user's settings for builds."""
NAMING_SETTINGS = (
    *("PIP_CONFIG_FILE", "PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT"),
    *("UV_CONFIG_FILE", "UV_CONSTRAINT", "UV_BUILD_CONSTRAINT", "UV_OVERRIDE"),
)
"""Variables that name further files with settings."""
TOOLS = (
    *("cc", "c++", "gcc", "g++", "clang", "clang++", "gfortran", "ld", "nvcc", "cmake", "ninja"),
    *("make", "meson", "swig", "go", "rustc", "cargo", "pkg-config"),
)
"""Programs outside of Python that compile."""
NAMING_TOOLS = ("CC", "CXX", "FC", "F77", "F90", "LD", "CUDACXX", "NVCC", "RUSTC", "CARGO")
"""Variables that name other programs that compile, as commands."""
PACKAGE_DATABASES = ("/var/lib/dpkg/status", "/var/lib/rpm/rpmdb.sqlite", "/lib/apk/db/installed")
"""What changes whenever a library or a compiler of the system does."""


@dataclass(frozen=True)
class Recipe:
    """Everything that a build of a side depends on, as far as it can be known before.

    Attributes:
        digest: Stands for all of it.
        snapshot: Size, time and mode of each file of the copy before it is built.
    """

    digest: str
    snapshot: Mapping[str, tuple[int, int, int]]


@dataclass(frozen=True)
class Source:
    """The copy of a version before it is built.

    Attributes:
        files: The digest of its files.
        git: What git says about each repository in it.
        snapshot: Size, time and mode of each file.
        is_closed: Whether no link leads out of it, to files that may change.
    """

    files: str
    git: Sequence[Sequence[str]]
    snapshot: Mapping[str, tuple[int, int, int]]
    is_closed: bool

    @classmethod
    def of(cls, tree: Path) -> Source:
        """Returns the source in a folder.

        Raises:
            OSError: A file cannot be read.
        """
        repositories = [each.parent for each in sorted(tree.rglob(".git")) if each.is_dir()]
        facts = [_git_facts(each) for each in repositories]
        root = tree.resolve()
        links = [path for _, path in _files(tree) if path.is_symlink()]
        # Not `Path.resolve`, which raises an error for a link that leads to itself.
        targets = [Path(os.path.realpath(link)) for link in links]
        is_closed = all(target.is_relative_to(root) for target in targets)
        return cls(digest_of(tree), facts, snapshot(tree), is_closed)


def recipe(
    source: Source,
    workspace: Workspace,
    interpreter: Interpreter,
    installer: str,
    *,
    isolated: bool,
) -> Recipe | None:
    """Returns the recipe of a side's build; None if what it depends on cannot be known.

    Args:
        source: What is built.
        workspace: Where the side is built.
        interpreter: What it is built for.
        installer: `pip` or `uv`.
        isolated: Whether the build has an environment of its own.
    """
    tree = workspace.folder / "tree"
    if workspace.wheel is not None or not source.is_closed or _sees_other_folders(workspace):
        return None
    if not isolated and _uses_installed_folder(workspace, interpreter):
        return None
    parts = {
        "flopline": __version__,
        "files": source.files,
        "git": source.git,
        "installed": [os.path.relpath(project, tree) for project in workspace.projects],
        "interpreter": [
            *(interpreter.python, interpreter.prefix, interpreter.version, interpreter.binary),
            _identity(Path(interpreter.python)),
        ],
        "packages": [] if isolated else _packages(interpreter),
        "installer": [installer, isolated],
        "variables": _variables(os.environ, Path(sys.prefix)),
        "settings": _settings(interpreter),
    }
    text = json.dumps(parts, sort_keys=True)
    return Recipe(hashlib.sha256(text.encode()).hexdigest(), source.snapshot)


def toolchain() -> str:
    """Returns a digest of the machine and of what compiles on it.

    Only builds with compiled modules depend on it.
    """
    rust = at_home(os.environ.get("RUSTUP_HOME") or "~/.rustup")
    named = [os.environ.get(name, "").split()[:1] for name in NAMING_TOOLS]
    programs = [*TOOLS, *itertools.chain.from_iterable(named)]
    found = [Path(path) for name in programs if (path := shutil.which(name))]
    files = [*found, *map(Path, PACKAGE_DATABASES), rust / "settings.toml"]
    files += sorted(rust.glob("toolchains/*/bin/rustc"))
    processor = ""
    for line in _content(Path("/proc/cpuinfo")).splitlines():
        if line.startswith(("model name", "flags", "Features")) and line not in processor:
            processor += line
    facts = [
        platform.machine(),
        platform.libc_ver(),
        processor,
        [_identity(file) for file in files],
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def at_home(name: str) -> Path:
    """Returns a path that may begin with `~`; it stays relative where there is no home folder."""
    return Path(os.path.expanduser(name))  # noqa: PTH111  # pathlib's raises errors


def digest_of(folder: Path) -> str:
    """Returns a digest of all files in a folder: names, content, permissions to run, and links.

    Repositories (`.git`) are left out.

    Raises:
        OSError: A file cannot be read.
    """
    digest = hashlib.sha256()
    for name, path in _files(folder):
        facts = path.lstat()
        if stat.S_ISLNK(facts.st_mode):
            kind, content = "link", os.fsencode(path.readlink())
        elif stat.S_ISREG(facts.st_mode):
            kind = "program" if facts.st_mode & stat.S_IXUSR else "file"
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").digest()
        else:
            kind, content = "special", b""
        for part in (os.fsencode(name), kind.encode(), content):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Returns size, time of the last change and mode of each file in a folder."""
    taken = {}
    for name, path in _files(folder):
        facts = path.lstat()
        taken[name] = (facts.st_size, facts.st_mtime_ns, facts.st_mode)
    return taken


def _files(folder: Path) -> Sequence[tuple[str, Path]]:
    """Returns the files and links in a folder, sorted, with their relative paths."""
    found = []
    for place, folders, names in os.walk(folder):
        links = [name for name in folders if Path(place, name).is_symlink()]
        folders[:] = [name for name in folders if name != ".git"]
        for name in (*names, *links):
            path = Path(place, name)
            found.append((os.path.relpath(path, folder), path))
    return sorted(found)


def _git_facts(folder: Path) -> list[str]:
    """Returns what git says about a repository in a copy, as far as it is about its commit.

    Versions are made of the commit, the tags before it and the branch, and packages of the files
    that git tracks.
    """
    made = folder / ".git"
    files = ("HEAD", "config", "shallow", "info/exclude", "info/attributes")
    questions = (
        ("rev-parse", "HEAD"),
        ("for-each-ref", "--merged=HEAD", "--format=%(objectname) %(refname)", "refs/tags"),
        ("for-each-ref", "--format=%(objectname) %(refname)", "refs/replace"),
        ("ls-files", "-t", "--stage", "-z"),
    )
    facts = [_content(made / name) for name in files]
    facts += [git.ask(folder, *question) for question in questions]
    if git.ask(folder, "status", "--porcelain", "--untracked-files=no"):
        # The version of a changed tree may have the day in it.
        facts.append(datetime.now(UTC).date().isoformat())
    return facts


def _settings(interpreter: Interpreter) -> list[str]:
    """Returns the content of all files with settings for builds."""
    files = [at_home(name) for name in SETTINGS]
    if configuration := os.environ.get("XDG_CONFIG_HOME"):
        files += [Path(configuration, name) for name in ("pip/pip.conf", "uv/uv.toml")]
    files.append(Path(interpreter.prefix, "pip.conf"))
    for variable in NAMING_SETTINGS:
        files += map(at_home, os.environ.get(variable, "").split())
    return [_content(file) for file in files]


def _sees_other_folders(workspace: Workspace) -> bool:
    """Returns whether PYTHONPATH leads a build to files that are not part of the version."""
    entries = workspace.variables.get("PYTHONPATH", "").split(os.pathsep)
    return any(entry and not Path(entry).is_relative_to(workspace.folder) for entry in entries)


def _uses_installed_folder(workspace: Workspace, interpreter: Interpreter) -> bool:
    """Returns whether a build uses what is installed from a folder, so that its code may change.

    The code of an editable installation changes with its folder. One that was copied from a folder
    may have other code under the same version as soon as it is installed again.
    """
    for project in workspace.projects:
        for line in table(read_pyproject(project), "build-system").get("requires", []):
            try:
                name = Requirement(line).name
            except InvalidRequirement:
                return True
            for found in metadata.distributions(name=name, path=interpreter.path):
                is_from_folder = "dir_info" in (found.read_text("direct_url.json") or "")
                # `setup.py develop` leaves no such note; this file lies only beside its sources.
                if is_from_folder or found.read_text("SOURCES.txt") is not None:
                    return True
    return False


def _packages(interpreter: Interpreter) -> list[str]:
    """Returns name and version of all that the interpreter has installed."""
    found = metadata.distributions(path=interpreter.path)
    return sorted(f"{each.metadata['Name']} {each.version}" for each in found)


def _variables(environment: Mapping[str, str], own: Path) -> dict[str, str]:
    """Returns the variables that may have an effect on a build.

    The environment of this program need not be the one that is built for, and `uv run --with` makes
    a new one each time.

    Args:
        environment: The variables of this process.
        own: The folder of the environment of this program.
    """
    kept = {
        name: value for name, value in environment.items() if not WITHOUT_EFFECT.fullmatch(name)
    }
    path = kept.get("PATH", "").split(os.pathsep)
    kept["PATH"] = os.pathsep.join(entry for entry in path if Path(entry) != own / "bin")
    if kept.get("VIRTUAL_ENV") == str(own):
        del kept["VIRTUAL_ENV"]
    return kept


def _identity(file: Path) -> Sequence[str | int]:
    """Returns what changes when a program is replaced by another version."""
    try:
        real = file.resolve()
        facts = real.stat()
    except OSError:
        return [str(file)]
    return [str(real), facts.st_size, facts.st_mtime_ns]


def _content(file: Path) -> str:
    try:
        return file.read_text("utf-8", "surrogateescape")
    except OSError:
        return ""
