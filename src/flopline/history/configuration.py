"""What flopline reads from asv.conf.json, so that asv's pages and flopline's commands agree.

asv's own reader is used, with its defaults. Every value that flopline needs is then checked,
because asv checks none of them.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from reprlib import repr as short
from typing import TYPE_CHECKING, Any, NoReturn

from asv import util
from asv.config import Config

from flopline import FloplineError, git

if TYPE_CHECKING:
    from pathlib import Path

FILE = "asv.conf.json"

FILES = (FILE, "asv.conf.jsonc")
"""The names under which asv looks for its configuration; both may hold comments."""


@dataclass(frozen=True)
class Configuration:
    """The settings of a checkout's history.

    Attributes:
        root: The folder of the configuration.
        repository: Where git knows the commits: a checkout, or asv's own clone of a remote one.
        suite: The folder of the benchmarks.
        results: The folder in which asv keeps its results.
        branch: The branch whose commits are searched for regressions and shown on pages.
        thresholds: The slowdown that counts, a fraction, by a pattern of `benchmark(parameters)`.
        threads: Threads that torch and BLAS are given in asv's own environment.
    """

    root: Path
    repository: Path
    suite: Path
    results: Path
    branch: str
    thresholds: Mapping[str, float]
    threads: int


class ConfigurationError(FloplineError, ValueError):
    """There is no asv.conf.json, asv cannot read it, or a value in it is of the wrong kind."""


def load(root: Path) -> Configuration:
    """Reads the configuration of asv in a folder.

    Raises:
        ConfigurationError: There is no configuration or more than one, asv cannot read it, a value
            is of the wrong kind, or its repository is not git's or not here.
    """
    path = _only_file(root)
    try:
        content: Any = util.load_json(str(path), Config.api_version, js_comments=True)
    except (OSError, TypeError, ValueError, util.UserError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    except RecursionError:
        raise ConfigurationError(f"{path} cannot be read: it is nested too deeply") from None
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path} cannot be read: it holds no object")
    try:
        settings = Config.from_json(content)
    except util.UserError as error:
        raise ConfigurationError(f"{path}: {error}") from error
    return check(settings, root, path)


def _only_file(root: Path) -> Path:
    there = [root / name for name in FILES if os.path.lexists(root / name)]
    if not there:
        raise ConfigurationError(
            f"there is no {FILE} in {root}; run this in the checkout whose history it is"
        )
    if len(there) > 1:
        raise ConfigurationError(f"{root} holds {' and '.join(FILES)}; asv reads one, remove one")
    if not there[0].is_file():
        raise ConfigurationError(f"{there[0]} cannot be read: it is not a file")
    return there[0]


def check(settings: Any, root: Path, path: Path) -> Configuration:  # noqa: ANN401  # asv's object has no type
    """Returns the settings that flopline needs, each of the right kind.

    Args:
        settings: asv's configuration.
        root: The folder of the configuration.
        path: Its file, for messages.

    Raises:
        ConfigurationError: A value is of the wrong kind, or the repository is not git's or not
            here.
    """
    repository = _repository(settings, root, path)
    branches = settings.branches
    if not isinstance(branches, list):
        _refuse(path, "branches", branches, "a list of names")
    for name in branches:
        if name is not None:
            _text(path, "branches", name)
    branch = branches[0]
    return Configuration(
        root=root,
        repository=repository,
        suite=root / _text(path, "benchmark_dir", settings.benchmark_dir),
        results=root / _text(path, "results_dir", settings.results_dir),
        branch=_default_branch(repository) if branch is None else branch,
        thresholds=_thresholds(path, settings.regressions_thresholds),
        threads=_threads(path, settings.matrix),
    )


def _refuse(path: Path, key: str, value: object, wanted: str) -> NoReturn:
    raise ConfigurationError(f"{path}: {key} is {short(value)}; it must be {wanted}")


def _text(path: Path, key: str, value: object) -> str:
    """Returns a text that can be the name of a file or of a branch."""
    if not isinstance(value, str) or not value or "\0" in value:
        _refuse(path, key, value, "a text")
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        _refuse(path, key, value, "a text that can be written as UTF-8")
    return value


def _repository(settings: Any, root: Path, path: Path) -> Path:  # noqa: ANN401  # as in `check`
    """Returns the folder in which git knows the commits.

    asv keeps a clone of a remote repository in a folder that is named after the project.
    """
    address = _text(path, "repo", settings.repo)
    if settings.dvcs not in (None, "git"):
        _refuse(path, "dvcs", settings.dvcs, '"git", the only one that flopline reads')
    local = root / address
    if local.is_dir():
        if (local / ".hg").is_dir() and not (local / ".git").exists():
            _refuse(path, "repo", address, "a git repository, which this is not")
        return local
    clone = root / _text(path, "project", settings.project)
    if clone.is_dir():
        return clone
    raise ConfigurationError(
        f"the repository {address} is not in {root}, and asv has not cloned it to {clone} yet; "
        "`asv publish` and `asv run` do that"
    )


def _default_branch(repository: Path) -> str:
    """Returns the branch that asv takes if none is configured, or HEAD where it does not exist."""
    name: str = util.git_default_branch()
    known = git.ask(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", name)
    return name if known else "HEAD"


def _thresholds(path: Path, value: object) -> dict[str, float]:
    if not isinstance(value, Mapping):
        _refuse(path, "regressions_thresholds", value, "a table of numbers by pattern")
    thresholds = {}
    for pattern, threshold in value.items():
        key = f"the threshold of {pattern!r}"
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise ConfigurationError(
                f"{path}: regressions_thresholds holds {pattern!r}, which is no regular "
                f"expression: {error}"
            ) from None
        is_number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
        if not is_number or not 0 <= threshold < math.inf:
            _refuse(path, key, threshold, "a number, 0 or more")
        try:
            thresholds[pattern] = float(threshold)
        except OverflowError:
            _refuse(path, key, threshold, "a number that is not larger than a computer's")
    return thresholds


def _threads(path: Path, matrix: object) -> int:
    """Returns the first number of threads in the matrix; older matrices hold only requirements."""
    variables = matrix.get("env_nobuild", {}) if isinstance(matrix, Mapping) else matrix
    if not isinstance(variables, Mapping):
        _refuse(path, "matrix", matrix, "a table of tables")
    value = variables.get("OMP_NUM_THREADS")
    first = value[0] if isinstance(value, list) and value else value
    if first is None or first == []:
        return 1
    if not re.fullmatch(r"[1-9][0-9]{0,4}", str(first)):
        _refuse(path, "OMP_NUM_THREADS", first, "a number of threads, 1 to 99999")
    return int(str(first))
