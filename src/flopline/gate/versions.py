"""A revision, a folder or an interpreter becomes a side that can be started.

Both versions are written below one temporary folder at paths of equal length, built by pip side by side in the same
way, and started with their own code in front of whatever the environment has. The user's index, branches, worktrees
and files are only read: a commit is written through an index and a working tree of its own.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import metadata
from itertools import product, takewhile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from packaging.requirements import InvalidRequirement, Requirement

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from flopline.gate.record import SideName

FOLDERS: dict[SideName, str] = {"baseline": "base", "candidate": "cand"}
"""Of equal length, because a path's length is part of a process's memory layout."""
PREFIX = "flopline-gate-"
SOURCES = ("src", "lib", "python")
"""Folders that hold packages and are none."""
SUITE = re.compile(r"_*(tests?|bench\w*)")
"""Names of folders that hold no subject."""
HARNESS = ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")
"""Where pytest looks for its configuration; the first that fits is it."""
UNWANTED = shutil.ignore_patterns(
    ".git", "__pycache__", ".venv", ".nox", ".tox", ".asv", ".*_cache", ".hypothesis", PREFIX + "*"
)
"""No part of a version: byte code must be made alike on both sides, and TMPDIR may be inside of what is copied."""
INHERITED = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR")
"""What a git hook says of its own repository to everything it starts."""
PRIVATE = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false")
"""Keeps git from starting what the user's settings start in the user's working tree."""
PIP = (sys.executable, "-P", "-m", "pip")
INSTALL = ("install", "--no-input", "--disable-pip-version-check", "--no-warn-script-location", "--progress-bar=off")
BUILDING = {
    # an export has no history to take a version from
    "SETUPTOOLS_SCM_PRETEND_VERSION": "0.0.0",
    "PDM_BUILD_SCM_VERSION": "0.0.0",
    "PBR_VERSION": "0.0.0",
    "POETRY_DYNAMIC_VERSIONING_BYPASS": "0.0.0",
    "UV_DYNAMIC_VERSIONING_BYPASS": "0.0.0",
}
HIDDEN = """
import importlib.util, sys
for name in sys.argv[2:]:
    spec = importlib.util.find_spec(name)
    where = str(spec and (spec.origin or list(spec.submodule_search_locations)[0]))
    if not where.startswith(sys.argv[1]):
        sys.exit(name + " would come from " + where)
"""
"""A program that fails if one of the modules argv[2:] does not come from below argv[1]."""
EXAMINE = """
import json, sys
facts = {"python": ".".join(map(str, sys.version_info[:3])), "lacks": [], "site": "", "installed": "", "files": []}
if sys.version_info < (3, 11):
    facts["lacks"] = ["Python 3.11 or later"]
else:
    import sysconfig
    from importlib import metadata, util
    facts["site"] = sysconfig.get_path("purelib")
    facts["lacks"] = [name for name in ("pytest", "pytest_benchmark") if util.find_spec(name) is None]
    for found in metadata.distributions(name=sys.argv[1]) if sys.argv[1] else ():
        origin = json.loads(found.read_text("direct_url.json") or "{}")
        if found.read_text("RECORD") and not origin.get("dir_info", {}).get("editable"):
            facts["installed"] = sys.argv[1] + " " + found.version + " in it, "
            facts["files"] = [str(file) for file in found.files]
        break
print(json.dumps(facts))
"""
"""A program that prints what its interpreter is, lacks, and has of the distribution argv[1] unless that is editable."""


@dataclass(frozen=True)
class Version:
    """What was asked for, resolved.

    Attributes:
        name: `baseline` or `candidate`.
        label: It in words: `origin/main (merge base 1a2b3c4)`, `working tree (9f8e7d6 + changes)`, `folder ../old`.
        commit: Full hash, of a working tree that of its HEAD; empty where there is none.
        kind: A working tree is what git does not ignore of it; a folder is everything in it but caches.
        source: The checkout's root, or the folder.
        project: Where in it the project lies.
        changed: Whether a working tree differs from its commit.
    """

    name: SideName
    label: str
    commit: str
    kind: Literal["commit", "working tree", "folder"]
    source: Path
    project: Path = Path()
    changed: bool = False


@dataclass(frozen=True)
class Startable:
    """One side, ready to run.

    Attributes:
        version: What it is.
        python: The interpreter.
        tree: The folder to run in: the side's own copy of the project.
        environment: Variables to add.
        packages: The project's top-level import names.
        site: Where the interpreter has it installed; None where it is imported from the tree.
    """

    version: Version
    python: str
    tree: Path
    environment: dict[str, str]
    packages: frozenset[str]
    site: Path | None = None

    @property
    def name(self) -> SideName:
        """`baseline` or `candidate`."""
        return self.version.name


def roots(side: Startable) -> tuple[Path, ...]:
    """The folders of a side that its files are told relative to."""
    folders = map(Path, side.environment["PYTHONPATH"].split(os.pathsep))
    return tuple(dict.fromkeys([*folders, side.tree, *([side.site] if side.site else [])]))


class GitError(RuntimeError):
    """Git could not do what a version needs."""


def _git(folder: Path, *arguments: str, lenient: bool = False, environment: Mapping[str, str] = {}) -> str:
    """What a git command prints; if `lenient`, nothing where it fails."""
    # Without optional locks not even the index's time stamps are refreshed. `repository` reads a message in English.
    inherited = {name: value for name, value in os.environ.items() if name not in INHERITED}
    done = subprocess.run(  # noqa: S603  # an argument list, no shell
        ["git", *arguments],  # noqa: S607  # the user's git
        cwd=folder,
        env={**inherited, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode and not lenient:
        raise GitError(f"`git {' '.join(arguments)}` failed in {folder}: {os.fsdecode(done.stderr).strip()}")
    return "" if done.returncode else os.fsdecode(done.stdout).removesuffix("\n")


class VersionError(ValueError):
    """What was asked for is no version that can be compared."""


def repository(folder: Path) -> Path | None:
    """The root of the checkout around a folder; None where there is none, or no git.

    Raises:
        VersionError: The folder lies in a bare repository, or in a repository's own files.
        GitError: Git refuses to look, for example because somebody else owns the checkout.
    """
    if shutil.which("git") is None:
        return None
    try:
        inside = _git(folder, "rev-parse", "--is-inside-work-tree")
    except GitError as error:
        if "not a git repository" in str(error):
            return None
        raise
    if inside != "true":
        raise VersionError(f"{folder} has no working tree (a bare repository, or a .git folder); run in a checkout")
    return Path(_git(folder, "rev-parse", "--show-toplevel"))


def resolve(start: Path, baseline: str, candidate: str | None = None) -> tuple[Version, Version]:
    """Finds the two versions that were asked for.

    A baseline that is a commit gives way to its merge base with the candidate, so that what others did meanwhile is
    not taken for the candidate's doing. Not so where the candidate itself lies behind the baseline: who compares
    backwards gets exactly what was asked.

    Args:
        start: A folder of the project.
        baseline: A revision, else a folder.
        candidate: The same; None for the working tree around `start`, or for `start` where there is no git.

    Raises:
        VersionError: There is no such version.
        GitError: Git failed.
    """
    start = start.resolve()
    root = repository(start)
    before = _find(start, root, "baseline", baseline)
    after = _here(start, root, "candidate") if candidate is None else _find(start, root, "candidate", candidate)
    if before.kind != "commit" or not after.commit:
        return before, after
    forked = _git(before.source, "merge-base", before.commit, after.commit, lenient=True)
    if not forked:
        label = f"{baseline} ({before.commit[:7]}, no merge base with the candidate: unrelated or shallow history)"
        return replace(before, label=label), after
    if forked == before.commit or (forked == after.commit and not after.changed):
        return before, after
    return replace(before, label=f"{baseline} (merge base {forked[:7]})", commit=forked), after


def _here(start: Path, root: Path | None, name: SideName) -> Version:
    if root is None:
        return Version(name, f"folder {start.name}", "", "folder", start)
    commit = _git(root, "rev-parse", "--verify", "--quiet", "HEAD", lenient=True)
    changed = bool(_git(root, "status", "--porcelain", "--untracked-files=normal"))
    label = f"working tree ({commit[:7] or 'no commit yet'}{' + changes' * changed})"
    return Version(name, label, commit, "working tree", root, _project(start, root), changed)


def _find(start: Path, root: Path | None, name: SideName, asked: str) -> Version:
    if not asked:
        raise VersionError(f"the {name} is empty; give a revision (`origin/main`, `HEAD~1`, a tag) or a folder")
    if asked.startswith("-"):
        raise VersionError(
            f"the {name} {asked!r} begins with a dash; write a branch as refs/heads/{asked}, a folder as ./{asked}"
        )
    kind = ""
    if root is not None:
        look = ("rev-parse", "--verify", "--quiet", "--end-of-options")
        found = _git(root, *look, asked, lenient=True)
        kind = found and _git(root, "cat-file", "-t", found, lenient=True)
        if commit := kind and _git(root, *look, f"{found}^{{commit}}", lenient=True):
            label = asked if commit.startswith(asked) else f"{asked} ({commit[:7]})"
            return Version(name, label, commit, "commit", root, _project(start, root))
    if kind:
        raise VersionError(f"the {name} {asked!r} is a {kind} of {root}; give a commit, or a folder as ./{asked}")
    if (folder := start / asked).is_dir():
        return Version(name, f"folder {asked}", "", "folder", folder.resolve())
    if root is None:
        raise VersionError(
            f"the {name} {asked!r} is no folder, and {start} is in no git checkout (or git is not installed); "
            "give two folders, or run in a checkout"
        )
    advice = "fetch it, or choose from `git branch --all` and `git tag`"
    if _git(root, "rev-parse", "--is-shallow-repository") == "true":
        advice = "this clone is shallow: `git fetch --unshallow` (in GitHub Actions, checkout with `fetch-depth: 0`)"
    raise VersionError(f"the {name} {asked!r} is neither a revision of {root} nor a folder; {advice}")


def _project(start: Path, root: Path) -> Path:
    around = takewhile(lambda folder: folder.is_relative_to(root), [start, *start.parents])
    return next(filter(_installable, around), root).relative_to(root)


class ExportError(RuntimeError):
    """A version could not be written to a folder."""


def export(version: Version, folder: Path) -> Path:
    """Writes a version into a new folder; gives the project's folder in it. A file `index` beside it is git's.

    Raises:
        ExportError: A submodule's commit, a file or the project is not there.
        GitError: Git failed.
    """
    folder.mkdir(parents=True)
    try:
        if version.kind == "commit":
            _write_commit(version.source, version.commit, folder, folder.with_name("index"))
        elif version.kind == "working tree":
            _copy_checkout(version.source, folder)
        else:
            shutil.copytree(version.source, folder, symlinks=True, ignore=_stale, dirs_exist_ok=True)
    except OSError as error:
        reason = error.args[0][0][2] if isinstance(error, shutil.Error) else error
        raise ExportError(f"the {version.name}, {version.label}, could not be copied: {reason}") from error
    if not (folder / version.project).is_dir():
        raise ExportError(f"the {version.name}, {version.label}, has no folder {version.project}, or git ignores it")
    return folder / version.project


def _write_commit(checkout: Path, commit: str, folder: Path, index: Path) -> None:
    # Not `git archive`: it leaves out what .gitattributes marks as export-ignore, often the tests. In a working tree of
    # its own the commit's .gitattributes count, not the user's present ones.
    index.unlink(missing_ok=True)
    git_folder = _git(checkout, "rev-parse", "--absolute-git-dir")
    own = {"GIT_DIR": git_folder, "GIT_WORK_TREE": str(folder), "GIT_INDEX_FILE": str(index)}
    _git(folder, *PRIVATE, "read-tree", commit, environment=own)
    _git(folder, *PRIVATE, "checkout-index", "--all", "--force", environment=own)
    for entry in _git(folder, *PRIVATE, "ls-files", "--stage", "-z", environment=own).split("\0"):
        facts, _, path = entry.partition("\t")
        if facts.startswith("160000 "):
            inner, wanted = checkout / path, facts.split()[1]
            if not (inner / ".git").exists() or not _git(inner, "cat-file", "-t", wanted, lenient=True):
                raise ExportError(
                    f"commit {wanted[:7]} of the submodule {path} is not in {checkout}; run there "
                    "`git submodule update --init --recursive`, or `git fetch` in the submodule"
                )
            _write_commit(inner, wanted, folder / path, index)


def _copy_checkout(checkout: Path, folder: Path) -> None:
    listed = _git(checkout, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")
    for name in filter(None, listed.split("\0")):
        source, target = checkout / name, folder / name
        # Where a folder became a link, the index still has the folder's files: copying them would write through it.
        if UNWANTED("", list(Path(name).parts)) or not _unlinked(source):
            continue
        if source.is_symlink() or source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
        elif (source / ".git").exists() and not name.endswith("/"):  # with the slash it is no submodule
            _copy_checkout(source, target)


def _stale(folder: str, names: list[str]) -> set[str]:
    # Virtual environments by any name, and setuptools' build folders: what is in those ends up in the next wheel.
    found = {name for name in names for sign in ("pyvenv.cfg", "bdist.*") if any(Path(folder, name).glob(sign))}
    return found | UNWANTED(folder, names)


class BuildError(RuntimeError):
    """A side could not be built."""


def build(root: Path, projects: Mapping[SideName, Path]) -> dict[SideName, Path]:
    """Installs the sides' projects with pip, in the same way and at the same time; gives where their packages are.

    Without build isolation where this environment has what both builds need: then nothing is downloaded. With it
    otherwise, and where that fails. A project that pip cannot install is left out.

    Args:
        root: Each side has its folder of FOLDERS here.
        projects: The exported projects.

    Raises:
        BuildError: pip failed; names the side and shows the end of its output.
    """
    projects = {name: project for name, project in projects.items() if _installable(project)}
    sites = {name: root / FOLDERS[name] / "site" for name in projects}
    ways = [["--no-build-isolation"], []] if all(map(_buildable, projects.values())) else [[]]
    failures = []
    for way in ways:
        commands = {
            name: [*PIP, *INSTALL, "--no-deps", "--upgrade", "--target", str(site), *way, "."]
            for name, site in sites.items()
        }
        failures.append(_run(root, projects, commands))
        if not failures[-1]:
            return sites
    raise BuildError(_told(failures[0]))


def build_isolated(root: Path, projects: Mapping[SideName, Path]) -> dict[SideName, Path]:
    """As `build`, but into a virtual environment per side, `venv`, with the project's own dependencies.

    pytest and pytest-benchmark are this environment's versions: they are the harness, not the subject.
    """
    venvs = {name: str(root / FOLDERS[name] / "venv") for name in projects}
    harness = [f"{name}=={metadata.version(name)}" for name in ("pytest", "pytest-benchmark")]
    create = {name: [sys.executable, "-m", "venv", "--without-pip", venv] for name, venv in venvs.items()}
    fill = {
        name: [*PIP, "--python", f"{venv}/bin/python", *INSTALL, *["."] * _installable(projects[name]), *harness]
        for name, venv in venvs.items()
    }
    if failed := _run(root, projects, create) or _run(root, projects, fill):
        raise BuildError(_told(failed))
    return {name: Path(sysconfig.get_path("purelib", "venv", {"base": venv})) for name, venv in venvs.items()}


def _run(root: Path, folders: Mapping[SideName, Path], commands: Mapping[SideName, list[str]]) -> dict[SideName, str]:
    """Runs the sides' commands at the same time; gives what those that fail print."""
    children: dict[SideName, subprocess.Popen[bytes]] = {}
    try:
        for name, command in commands.items():
            place = root / FOLDERS[name]
            (place / "tmp").mkdir(parents=True, exist_ok=True)
            settings = {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "TMPDIR": str(place / "tmp")}
            with (place / "log").open("wb") as log:
                children[name] = subprocess.Popen(  # noqa: S603  # an argument list, no shell
                    command,
                    cwd=folders[name],
                    env=BUILDING | os.environ | settings,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        failed = [name for name, child in children.items() if child.wait()]
    finally:
        for child in children.values():
            if child.poll() is None:  # interrupted: it goes, with the compilers it started
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
    return {name: (root / FOLDERS[name] / "log").read_text("utf-8", "replace") for name in failed}


def _told(failed: Mapping[SideName, str]) -> str:
    ends = {name: "\n".join(text.rstrip().splitlines()[-20:]) for name, text in failed.items()}
    return "\n".join(f"the {name} could not be built; pip's last lines:\n{end}" for name, end in ends.items())


def _pyproject(folder: Path) -> dict[str, Any]:
    try:
        return tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:  # pip will say what is wrong with it
        return {"build-system": {"requires": []}}


def _installable(folder: Path) -> bool:
    facts = _pyproject(folder)
    tools = facts.get("tool", {})
    if tools.get("uv", {}).get("package") is False or tools.get("poetry", {}).get("package-mode") is False:
        return False
    return "build-system" in facts or "project" in facts or (folder / "setup.py").is_file()


def _buildable(folder: Path) -> bool:
    """Whether this environment has what the project's build requires."""
    try:
        needs = map(Requirement, _pyproject(folder).get("build-system", {}).get("requires", ["setuptools"]))
        return all(
            need.specifier.contains(metadata.version(need.name), prereleases=True)
            for need in needs
            if need.marker is None or need.marker.evaluate()
        )
    except (InvalidRequirement, metadata.PackageNotFoundError):
        return False


@contextmanager
def sides(
    start: Path, baseline: str, candidate: str | None = None, *, isolated: bool = False
) -> Iterator[tuple[Startable, Startable]]:
    """Both versions, built and ready to start for as long as the context lasts; nothing is left behind.

    Args:
        start: A folder of the project.
        baseline: As in `resolve`.
        candidate: As in `resolve`.
        isolated: Each side gets dependencies of its own instead of this environment's.

    Raises:
        VersionError: There is no such version.
        ExportError: A version could not be written.
        BuildError: A side could not be built, or something in this environment stands before it.
        GitError: Git failed.
    """
    versions = resolve(start, baseline, candidate)
    with _temporary() as root:
        projects = {version.name: export(version, root / FOLDERS[version.name] / "tree") for version in versions}
        sites = (build_isolated if isolated else build)(root, projects)
        before, after = (
            _installed(
                version,
                str(root / FOLDERS[version.name] / "venv/bin/python") if isolated else sys.executable,
                projects[version.name],
                sites.get(version.name),
            )
            for version in versions
        )
        yield before, after


@contextmanager
def _temporary() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=PREFIX) as name:
        yield Path(name).resolve()


def _installed(version: Version, python: str, project: Path, site: Path | None) -> Startable:
    # Where pip installs from a folder, it says so in direct_url.json.
    found = [] if site is None else metadata.distributions(path=[str(site)])
    packages = _imports(str(file) for one in found if one.read_text("direct_url.json") for file in one.files or ())
    if site is None or not packages:
        return _imported(version, python, project)
    for package, source in product(packages, ("", *SOURCES)):
        # Some import modes of pytest put the tree first: complete it with what only the build makes.
        if (project / source / package).is_dir() and (site / package).is_dir():
            copied = project / source / package
            shutil.copytree(site / package, copied, ignore=UNWANTED, copy_function=_copy_missing, dirs_exist_ok=True)
    for stray in site.iterdir():
        # A wheel that carries its tests would hide the tree's, of which `overlay` makes both sides' equal.
        if SUITE.fullmatch(stray.name) and stray.name not in packages and (project / stray.name).is_dir():
            _remove(stray)
    environment = {"PYTHONPATH": f"{site}{os.pathsep}{project}"}
    command = [python, "-P", "-c", HIDDEN, f"{site}{os.sep}", *packages]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise BuildError(
            f"the {version.name} would not run its own code: {done.stderr.strip()}. An editable installation can stand "
            "in the way: uninstall it, install without --editable, or use --isolated"
        )
    return Startable(version, python, project, environment, packages, site)


def _copy_missing(source: str, target: str) -> None:
    if not os.path.lexists(target) and _unlinked(Path(target)):
        shutil.copy2(source, target)


def _unlinked(path: Path) -> bool:
    """Whether no link is on the way to a file: what is done to it then happens where it seems to."""
    return path.parent.resolve() == path.parent


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _imports(files: Iterable[str]) -> frozenset[str]:
    """The top-level import names among an installation's files."""
    tops = (file.partition("/") for file in files)
    names = {top if inside else inspect.getmodulename(top) for top, inside, _ in tops}
    imports = {name for name in names if name and name.isidentifier() and name != "__pycache__"}
    return frozenset({name for name in imports if not SUITE.fullmatch(name)} or imports)


def _imported(version: Version, python: str, project: Path) -> Startable:
    """A side that is not installed but imported from its tree."""
    found = [file.parent.name for source in ("", *SOURCES) for file in (project / source).glob("*/__init__.py")]
    path = [str(folder) for folder in (project / "src", project) if folder.is_dir()]
    packages = frozenset(name for name in found if not SUITE.fullmatch(name))
    return Startable(version, python, project, {"PYTHONPATH": os.pathsep.join(path)}, packages)


class OverlayError(ValueError):
    """Benchmark files that cannot be put from one side's tree into the other's."""


def overlay(source: Startable, target: Startable, files: Iterable[str]) -> None:
    """Gives one side the other's benchmark files, with what they need and what configures pytest.

    Around each file the outermost folder that holds no subject is replaced as a whole. Inside a package that is a
    folder named for tests or benchmarks; where there is none, it is the file alone. Every conftest.py above comes
    along, and pytest's configuration. What the source lacks of all this vanishes.

    Args:
        source: The side whose suite both are to run.
        target: The other side, already built.
        files: Benchmark files, relative to the source's tree.

    Raises:
        OverlayError: A file is missing, or lies or leads out of its tree.
    """
    subject = source.packages | target.packages
    parts = set(map(PurePosixPath, HARNESS))
    for file in files:
        real = (source.tree / file).resolve()
        if ".." in PurePosixPath(file).parts or not real.is_file() or not real.is_relative_to(source.tree.resolve()):
            raise OverlayError(f"benchmark file {file!r} is not in {source.tree}; give paths relative to it")
        # A link stays a link, so what it stands for must come along.
        for path in {PurePosixPath(file), PurePosixPath(real.relative_to(source.tree.resolve()))}:
            parts |= _suite(path, subject)
    for part in sorted(parts):
        new, old = source.tree / part, target.tree / part
        if not old.parent.resolve().is_relative_to(target.tree.resolve()):
            raise OverlayError(
                f"on the {target.name} {part} leads out of its tree through a link; use --suite-from each"
            )
        _remove(old)
        if new.is_dir() and not new.is_symlink():
            shutil.copytree(new, old, symlinks=True, ignore=UNWANTED)
        elif os.path.lexists(new):
            old.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(new, old, follow_symlinks=False)


def _suite(file: PurePosixPath, subject: frozenset[str]) -> set[PurePosixPath]:
    folders = file.parts[:-1]
    depth = len(list(takewhile(lambda name: name in subject or name in SOURCES, folders)))
    if subject.intersection(folders[:depth]):
        depth = next((n for n in range(depth, len(folders)) if SUITE.fullmatch(folders[n])), len(folders))
    conftests = {PurePosixPath(*folders[:n], "conftest.py") for n in range(depth + 1)}
    return {PurePosixPath(*file.parts[: depth + 1]), *conftests}


class InterpreterError(ValueError):
    """An interpreter that cannot run a side."""


@contextmanager
def interpreters(start: Path, baseline: str, candidate: str) -> Iterator[tuple[Startable, Startable]]:
    """Two interpreters as they are, each with a copy of the working tree; nothing is built.

    A project that is installed in an interpreter, and not as editable, is taken from there; else from the copy.

    Args:
        start: A folder of the project.
        baseline: Path or name of the interpreter.
        candidate: The other one.

    Raises:
        InterpreterError: One is no Python of at least 3.11 with pytest and pytest-benchmark.
        ExportError: The working tree could not be copied.
        GitError: Git failed.
    """
    start = start.resolve()
    checkout = repository(start)
    with _temporary() as root:
        yield (
            _interpreted(_here(start, checkout, "baseline"), baseline, root),
            _interpreted(_here(start, checkout, "candidate"), candidate, root),
        )


def _interpreted(version: Version, asked: str, root: Path) -> Startable:
    found = shutil.which(asked)
    if found is None:
        raise InterpreterError(
            f"the {version.name}'s interpreter {asked!r} is no executable; give the path of a Python"
        )
    python = str(Path(found).absolute())  # not resolved: in a virtual environment it is a link
    project = export(version, root / FOLDERS[version.name] / "tree")
    facts = _pyproject(project)
    name = facts.get("project", facts.get("tool", {}).get("poetry", {})).get("name", "")
    command = [python, "-X", "utf8", "-c", EXAMINE, name]  # of -X a shell knows nothing: it must not run the program
    environment = os.environ | {"PYTHONPATH": ""}
    lines = ["it says nothing"]
    try:
        done = subprocess.run(  # noqa: S603  # an argument list, no shell
            command,
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            timeout=60,
        )
        lines += done.stdout.splitlines()
        known = dict(json.loads(lines[-1]))
    except (OSError, subprocess.TimeoutExpired, TypeError, ValueError) as error:
        reason = error if isinstance(error, (OSError, subprocess.TimeoutExpired)) else lines[-1]
        raise InterpreterError(
            f"the {version.name}'s interpreter {asked!r} is no Python that runs: {reason}"
        ) from error
    what = f"Python {known['python']}"
    if known["lacks"]:
        lacks = " and ".join(known["lacks"])
        raise InterpreterError(f"the {version.name}'s interpreter {asked!r} ({what}) lacks {lacks}; install it there")
    packages = _imports(known["files"])
    for package, source, ending in product(packages, ("", *SOURCES), ("", ".py")):
        if _unlinked(copied := project / source / f"{package}{ending}"):
            _remove(copied)
    label = f"{asked} ({what}, {known['installed']}{version.label})"
    side = _imported(replace(version, label=label), python, project)
    return replace(side, packages=side.packages | packages, site=Path(known["site"]))
