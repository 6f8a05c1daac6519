"""What flopline reads from asv.conf.json, so that asv's pages and flopline's commands agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asv import util

from flopline import FloplineError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILE = "asv.conf.json"


@dataclass(frozen=True)
class Configuration:
    """The settings of a checkout's history.

    Attributes:
        root: The checkout.
        results: The folder in which asv keeps its results.
        branch: The branch whose commits are searched for regressions and shown on pages.
        thresholds: The slowdown that counts, a fraction, by a pattern of `benchmark(parameters)`.
        threads: Threads that torch and BLAS are given in asv's own environment.
    """

    root: Path
    results: Path
    branch: str
    thresholds: Mapping[str, float]
    threads: int


class ConfigurationError(FloplineError, ValueError):
    """There is no asv.conf.json, or asv cannot read it."""


def load(root: Path) -> Configuration:
    """Reads the asv.conf.json of a checkout.

    Raises:
        ConfigurationError: The file is not there, or asv cannot read it.
    """
    path = root / FILE
    if not path.is_file():
        raise ConfigurationError(
            f"there is no {FILE} in {root}; run this in the checkout whose history it is"
        )
    try:
        content: Any = util.load_json(str(path), js_comments=True)
    except (OSError, ValueError, util.UserError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path} cannot be read: it holds no object")
    branches = content.get("branches") or ["HEAD"]
    variables = content.get("matrix", {}).get("env_nobuild", {})
    return Configuration(
        root=root,
        results=root / content.get("results_dir", "results"),
        branch=branches[0],
        thresholds=content.get("regressions_thresholds", {}),
        threads=int(variables.get("OMP_NUM_THREADS", ["1"])[0]),
    )
