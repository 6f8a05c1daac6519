"""Which rows, in which order: the airfoil table the chapter trains on, and the samplers of its minibatches.

The table is the *Airfoil Self-Noise* data set of the UCI Machine Learning Repository, used unmodified. It is not part
of this package: it is resolved at run time, and where it cannot be had, a labelled surrogate with the same first and
second moments takes its place.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

URL = "https://d2l-data.s3-accelerate.amazonaws.com/airfoil_self_noise.dat"
"""The book's copy, byte for byte the file of https://archive.ics.uci.edu/dataset/291/airfoil+self+noise."""
FILE = "airfoil_self_noise.dat"
SHA256 = "74c75fd71783f1e6b71f8a622b993dc592897a97cd689c5090a07147a1b097b3"
SHA256_LF = "10ee06e6cfb27dae6b44213d421d217012fb1f9b697592e73a4e4016b52d425f"
"""The same numbers after a line-ending conversion, as git's autocrlf makes it."""
LICENCE = "CC BY 4.0, https://creativecommons.org/licenses/by/4.0/"
ATTRIBUTION = (
    "Brooks, T., Pope, D., & Marcolini, M. (1989). Airfoil Self-Noise [Dataset]. "
    "UCI Machine Learning Repository. https://doi.org/10.24432/C5VW2C. Unmodified."
)
SHAPE = (1503, 6)
EXAMPLES = 1500
"""The chapter trains on the first 1500 rows."""
SURROGATE = "surrogate"
"""Given as a path, or as FLOPLINE_DATA, this word asks for the surrogate."""

Kind = Literal["file", "cache", "download", "surrogate"]


class DataError(ValueError):
    """A file was found and is not the airfoil table."""


@dataclass(frozen=True)
class Source:
    """Where a table came from.

    Attributes:
        kind: `file` (a path that was given), `cache`, `download` or `surrogate`.
        name: What results made from it are labelled with: `airfoil`, `airfoil (LF)` or `surrogate`.
        detail: The file, or why there is a surrogate.
        sha256: Of the file's bytes; of a surrogate empty.
    """

    kind: Kind
    name: str
    detail: str
    sha256: str


@dataclass(frozen=True, eq=False)
class Table:
    """The chapter's training set.

    Attributes:
        X: (1500, 5) float64, standardised features.
        y: (1500,) float64, the standardised sound pressure level.
        source: Where it came from.
    """

    X: Tensor
    y: Tensor
    source: Source


def resolve(
    path: str | os.PathLike[str] | None = None, *, cache: Path | None = None, url: str = URL
) -> Table:
    """The table, from the first of: `path`, the variable FLOPLINE_DATA, the cache, a download, the surrogate.

    A file that is there but wrong is an error, never a reason to go on to the next source; only a download that cannot
    be reached leads to the surrogate.

    Args:
        path: A file, or the word `surrogate`.
        cache: Folder of downloads; by default the user's cache.
        url: Where to download from.

    Raises:
        DataError: The file, or what was downloaded, is not the airfoil table.
        FileNotFoundError: `path` or FLOPLINE_DATA names no file.
    """
    given = path or os.environ.get("FLOPLINE_DATA") or None
    if given is not None and os.fspath(given) == SURROGATE:
        return surrogate("asked for")
    if given is not None:
        if not Path(given).is_file():
            asked = "FLOPLINE_DATA" if path is None else "the path"
            raise FileNotFoundError(
                f"{asked} names {os.fspath(given)!r}, which is no file; give {FILE} or 'surrogate'"
            )
        return read(Path(given), "file")
    import pooch

    cached = (cache or Path(pooch.os_cache("flopline"))) / FILE
    if cached.is_file():
        return read(cached, "cache")
    return _download(cached, url)


def _download(cached: Path, url: str) -> Table:
    """Downloads into the cache: to a temporary name first, renamed once the hash is right (pooch does both)."""
    import pooch
    import requests

    downloader = pooch.HTTPDownloader(progressbar=True, timeout=10)
    try:
        pooch.retrieve(
            url, f"sha256:{SHA256}", fname=cached.name, path=cached.parent, downloader=downloader
        )
    except requests.RequestException as error:
        return surrogate(f"{url} could not be reached ({type(error).__name__})")
    except ValueError as error:
        raise DataError(
            f"what {url} sent is not the airfoil table, nothing was kept: {error}"
        ) from error
    return read(cached, "download")


def read(path: Path, kind: Kind) -> Table:
    """Reads and standardises the airfoil file.

    Raises:
        DataError: The bytes are not those of the table; the message says what is wrong with them.
    """
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    names = {SHA256: "airfoil", SHA256_LF: "airfoil (LF)"}
    if sha256 not in names:
        raise DataError(
            f"{path} is not the airfoil table: {_diagnose(content)}. Expected SHA-256 {SHA256}, found {sha256}. "
            f"Delete it to have it downloaded again, give another file, or set FLOPLINE_DATA={SURROGATE}"
        )
    X, y = standardise(parse(content))
    return Table(X, y, Source(kind, names[sha256], str(path), sha256))


def parse(content: bytes) -> npt.NDArray[np.float64]:
    """The file's numbers, (1503, 6): frequency, angle, chord, velocity, thickness, sound pressure level.

    Raises:
        ValueError: A cell is no number, or the rows differ in length.
    """
    return np.loadtxt(io.BytesIO(content), dtype=np.float64, delimiter="\t", ndmin=2)


def _diagnose(content: bytes) -> str:
    """What is wrong with the bytes of a file that is not the table."""
    if not content.strip():
        return "the file is empty"
    try:
        values = parse(content)
    except (ValueError, UnicodeDecodeError) as error:
        return f"it has {len(content.splitlines())} lines that do not read as {SHAPE[1]} tab-separated numbers ({error})"
    if values.shape != SHAPE:
        return f"it has {values.shape[0]} rows of {values.shape[1]} numbers instead of {SHAPE[0]} of {SHAPE[1]}"
    if not np.isfinite(values).all():
        row, column = (int(index) for index in np.argwhere(~np.isfinite(values))[0])
        return f"row {row + 1}, column {column + 1} is {values[row, column]}, which is no finite number"
    return f"it has {SHAPE[0]} rows of {SHAPE[1]} numbers, but other numbers, another order or other line endings"


def standardise(values: npt.NDArray[np.float64]) -> tuple[Tensor, Tensor]:
    """The chapter's features and label: z-scores over all rows and columns (ddof 0), then the first 1500 rows.

    Args:
        values: (1503, 6).

    Returns:
        X (1500, 5) and y (1500,), float64. Their means are not quite 0, because three rows are left out afterwards.
    """
    z = torch.from_numpy((values - values.mean(0)) / values.std(0))[:EXAMPLES]
    return z[:, :-1].contiguous(), z[:, -1].contiguous()


# Mean, and mean of z z^T (not centred), of the 1500 standardised rows; columns as in `parse`. The squared loss depends
# on the data through these alone, so a surrogate that shares them shares every full-batch result.
_MEAN = (
    -0.0014047929101988939, -0.0029808860442912797, 0.00074747908067971497,
    0.001446689667067548, -0.0063455450114894641, 0.0055561501716476138,
)  # fmt: skip
_SECOND_MOMENT = (
    (1.0008347328676066, -0.27540382901548549, -0.0031429334935943938,
     0.1349473080792121, -0.2350246561186683, -0.38750303930549063),
    (-0.27540382901548549, 0.99755715919544219, -0.50476381108378809,
     0.061033292767383389, 0.74544289893976778, -0.14813861914950802),
    (-0.0031429334935943938, -0.50476381108378809, 1.0017206375119942,
     0.0032535168937600657, -0.21891253470035349, -0.23871038840006467),
    (0.1349473080792121, 0.061033292767383389, 0.0032535168937600657,
     1.0009535445035738, 0.00060805599009430844, 0.12133399384249825),
    (-0.2350246561186683, 0.74544289893976778, -0.21891253470035349,
     0.00060805599009430844, 0.9818670292535705, -0.29566644478675541),
    (-0.38750303930549063, -0.14813861914950802, -0.23871038840006467,
     0.12133399384249825, -0.29566644478675541, 0.98651794385407343),
)  # fmt: skip


def surrogate(reason: str, *, seed: int = 0) -> Table:
    """1500 normal rows with exactly the first and second moments of the real ones.

    Loss, gradient, Hessian, minimum and every full-batch trajectory are those of the real table; rows, their order and
    the noise of minibatch gradients are not (its trace is 7 % to 11 % lower).

    Args:
        reason: Why the real table is not used; kept in the source.
        seed: Of the generator.
    """
    mean = torch.tensor(_MEAN, dtype=torch.float64)
    covariance = torch.tensor(_SECOND_MOMENT, dtype=torch.float64) - torch.outer(mean, mean)
    draw = torch.randn(
        EXAMPLES, SHAPE[1], dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    draw -= draw.mean(0)
    whitener = torch.linalg.cholesky(draw.T @ draw / EXAMPLES)
    white = torch.linalg.solve_triangular(whitener, draw.T, upper=False)
    z = (torch.linalg.cholesky(covariance) @ white).T + mean
    source = Source("surrogate", SURROGATE, f"{reason}; torch generator, seed {seed}", "")
    return Table(z[:, :-1].contiguous(), z[:, -1].contiguous(), source)


@dataclass(frozen=True, eq=False)
class Batches:
    """The minibatches of one epoch; iterating gives the row numbers of one after another.

    Attributes:
        rows: (n,) int64, row numbers in the order in which they are used.
        size: Examples in a minibatch; the last one may be shorter.
    """

    rows: Tensor
    size: int

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.rows.split(self.size))

    def __len__(self) -> int:
        return math.ceil(len(self.rows) / self.size)


def shuffled(n: int, size: int, generator: torch.Generator) -> Batches:
    """One epoch without replacement: every one of n rows once, in a fresh random order.

    Raises:
        ValueError: The size is not between 1 and n.
    """
    _check_size(n, size)
    return Batches(torch.randperm(n, generator=generator), size)


def with_replacement(n: int, size: int, generator: torch.Generator) -> Batches:
    """One epoch with replacement: n independent draws of n rows.

    Raises:
        ValueError: The size is not between 1 and n.
    """
    _check_size(n, size)
    return Batches(torch.randint(n, (n,), generator=generator), size)


def _check_size(n: int, size: int) -> None:
    if not 1 <= size <= n:
        raise ValueError(
            f"the minibatch size is {size}; allowed are 1 to {n}, the number of examples"
        )
