"""The airfoil table that the chapter trains on, and the samplers of its minibatches.

The table is the *Airfoil Self-Noise* data set of the UCI Machine Learning Repository, used
unmodified. It is not part of this package: it is looked up at run time. If it cannot be had, a
labelled surrogate with the same first and second moments takes its place.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from flopline import FloplineError, files

if TYPE_CHECKING:
    from collections.abc import Iterator

URL = "https://d2l-data.s3-accelerate.amazonaws.com/airfoil_self_noise.dat"
"""The book's copy of the table.

It is byte for byte the file of https://archive.ics.uci.edu/dataset/291/airfoil+self+noise.
"""
FILE = "airfoil_self_noise.dat"
"""The name of the table's file."""
SHA256 = "74c75fd71783f1e6b71f8a622b993dc592897a97cd689c5090a07147a1b097b3"
"""The SHA-256 of the file."""
SHA256_LF = "10ee06e6cfb27dae6b44213d421d217012fb1f9b697592e73a4e4016b52d425f"
"""The SHA-256 of the same numbers after a line-ending conversion, as git's autocrlf makes it."""
LICENCE = "CC BY 4.0, https://creativecommons.org/licenses/by/4.0/"
"""The licence of the data."""
ATTRIBUTION = (
    "Brooks, T., Pope, D., & Marcolini, M. (1989). Airfoil Self-Noise [Dataset]. "
    "UCI Machine Learning Repository. https://doi.org/10.24432/C5VW2C. Unmodified."
)
"""The attribution that the licence requires."""
SHAPE = (1503, 6)
"""Rows and columns of the file."""
EXAMPLES = 1500
"""The chapter trains on the first 1500 rows."""
SURROGATE = "surrogate"
"""Given as a path, or as FLOPLINE_DATA, this word requests the surrogate."""

Kind = Literal["file", "cache", "download", "surrogate"]
"""How a table was obtained; `file` is a path that was given."""


class DataError(FloplineError, ValueError):
    """A file is there but is not the airfoil table."""


class NoFileError(FloplineError, FileNotFoundError):
    """The path of the table names no file."""


@dataclass(frozen=True)
class Source:
    """Where a table came from.

    Attributes:
        kind: `file` (a path that was given), `cache`, `download` or `surrogate`.
        name: The label of results made from the table: `airfoil`, `airfoil (LF)` or `surrogate`.
        detail: The file, or the reason why there is a surrogate.
        sha256: The SHA-256 of the file's bytes; empty for a surrogate.
    """

    kind: Kind
    name: str
    detail: str
    sha256: str


@dataclass(frozen=True, eq=False)
class Table:
    """The chapter's training set.

    Attributes:
        X: (1500, 5) float64, the standardised features.
        y: (1500,) float64, the standardised sound pressure level.
        source: Where it came from.
    """

    X: Tensor
    y: Tensor
    source: Source


def resolve(
    path: str | os.PathLike[str] | None = None, *, cache: Path | None = None, url: str = URL
) -> Table:
    """Returns the table from the first source that there is.

    The sources are `path`, the variable FLOPLINE_DATA, the cache, a download, and the surrogate. A
    file that is there but wrong is an error, never a reason to go on to the next source. Only a
    download that cannot be reached leads to the surrogate. A cache that cannot be used is done
    without: the table is then downloaded each time.

    Args:
        path: A file, or the word `surrogate`.
        cache: The folder of downloads; by default the user's cache.
        url: Where to download from.

    Raises:
        DataError: The file, or what was downloaded, is not the airfoil table.
        NoFileError: `path` or FLOPLINE_DATA names no file.
    """
    given = path or os.environ.get("FLOPLINE_DATA") or None
    if given is not None and os.fspath(given) == SURROGATE:
        return surrogate("requested")
    if given is not None:
        origin = "FLOPLINE_DATA" if path is None else "the path"
        return _given(Path(given), origin)
    try:
        cached = (cache or user_cache()) / FILE
        if cached.is_file():
            return read(cached, "cache")
    except OSError:  # no home, or a folder that may not be looked into
        cached = None
    return _download(cached, url)


def _given(path: Path, origin: str) -> Table:
    """Reads the file that the user gave.

    Args:
        path: The file.
        origin: Where it was given, for the message.

    Raises:
        NoFileError: There is no such file, or it cannot be read.
        DataError: It is not the table.
    """
    try:
        if path.is_file():
            return read(path, "file")
        reason = "is no file"
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
    raise NoFileError(f"{origin} names {str(path)!r}, which {reason}; give {FILE} or 'surrogate'")


class NoCacheError(FloplineError, FileNotFoundError):
    """There is no folder in which downloads could be kept."""


def user_cache() -> Path:
    """Returns the folder of the user's downloads, which need not exist.

    Raises:
        NoCacheError: The user has no home, or XDG_CACHE_HOME is no absolute path.
    """
    import pooch

    folder = Path(pooch.os_cache("flopline"))
    if not folder.is_absolute():
        raise NoCacheError(f"{str(folder)!r} is no place for a cache; set XDG_CACHE_HOME")
    return folder


def _download(cached: Path | None, url: str) -> Table:
    """Downloads the table, reads it, and keeps it where that is possible.

    pooch gives the file its name once its hash is right.

    Args:
        cached: Where it is kept; None if there is no such place.
        url: Where to download from.
    """
    import pooch
    import requests

    downloader = pooch.HTTPDownloader(progressbar=True, timeout=10)
    try:
        with tempfile.TemporaryDirectory() as folder:
            pooch.retrieve(url, f"sha256:{SHA256}", fname=FILE, path=folder, downloader=downloader)
            content = Path(folder, FILE).read_bytes()
    except requests.RequestException as error:
        return surrogate(f"{url} could not be reached ({type(error).__name__})")
    except OSError as error:
        return surrogate(f"there is no room for a download ({error.strerror or error})")
    except ValueError as error:
        raise DataError(
            f"what {url} sent is not the airfoil table, nothing was kept: {error}"
        ) from error
    return _kept(content, cached, url)


def _kept(content: bytes, cached: Path | None, url: str) -> Table:
    """Keeps the bytes of the table in the cache, if they can be, and reads them."""
    try:
        if cached is not None:
            cached.parent.mkdir(parents=True, exist_ok=True)
            files.write(cached, content)
            return read(cached, "download")
        reason = "there is no folder for it"
    except OSError as error:
        reason = f"{error.strerror} in {cached.parent}" if cached else str(error)
    X, y = standardise(parse(content))
    return Table(X, y, Source("download", "airfoil", f"{url}, not kept: {reason}", SHA256))


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
            f"{path} is not the airfoil table: {_diagnose(content)}. "
            f"Expected SHA-256 {SHA256}, found {sha256}. Delete it to have it downloaded again, "
            f"give another file, or set FLOPLINE_DATA={SURROGATE}"
        )
    X, y = standardise(parse(content))
    return Table(X, y, Source(kind, names[sha256], str(path), sha256))


def parse(content: bytes) -> npt.NDArray[np.float64]:
    """Returns the numbers of the file, (1503, 6) float64.

    The columns are frequency, angle, chord, velocity, thickness and sound pressure level.

    Raises:
        ValueError: A cell is no number, or the rows differ in length.
    """
    return np.loadtxt(io.BytesIO(content), dtype=np.float64, delimiter="\t", ndmin=2)


def _diagnose(content: bytes) -> str:
    """Returns what is wrong with the bytes of a file that is not the table."""
    rows, columns = SHAPE
    if not content.strip():
        return "the file is empty"
    try:
        values = parse(content)
    except (ValueError, UnicodeDecodeError) as error:
        lines = len(content.splitlines())
        return f"it has {lines} lines that do not read as {columns} tab-separated numbers ({error})"
    if values.shape != SHAPE:
        return (
            f"it has {values.shape[0]} rows of {values.shape[1]} numbers "
            f"instead of {rows} of {columns}"
        )
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        value = values[row, column]
        return f"row {row + 1}, column {column + 1} is {value}, which is no finite number"
    return (
        f"it has {rows} rows of {columns} numbers, "
        "but other numbers, another order or other line endings"
    )


def standardise(values: npt.NDArray[np.float64]) -> tuple[Tensor, Tensor]:
    """Returns the chapter's features and label, from all rows of the file.

    They are z-scores over all rows and columns (ddof 0), of which the first 1500 rows are kept.

    Args:
        values: (1503, 6).

    Returns:
        X (1500, 5) and y (1500,), float64. Their means are not quite 0, because three rows are
        left out after the standardisation.
    """
    z = torch.from_numpy((values - values.mean(0)) / values.std(0))[:EXAMPLES]
    return z[:, :-1].contiguous(), z[:, -1].contiguous()


# The mean, and the mean of z z^T (not centred), of the 1500 standardised rows; columns as in
# `parse`. The squared loss depends on the data through these alone, so a surrogate that shares them
# shares every full-batch result.
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
    """Returns 1500 normal rows with exactly the first and second moments of the real ones.

    Loss, gradient, Hessian, minimum and every full-batch trajectory are those of the real table.
    Rows, their order and the noise of minibatch gradients are not (its trace is 7 % to 11 % lower).

    Args:
        reason: Why the real table is not used; it is kept in the source.
        seed: The seed of the generator.
    """
    mean = torch.tensor(_MEAN, dtype=torch.float64)
    second_moment = torch.tensor(_SECOND_MOMENT, dtype=torch.float64)
    covariance = second_moment - torch.outer(mean, mean)
    generator = torch.Generator().manual_seed(seed)
    draw = torch.randn(EXAMPLES, SHAPE[1], dtype=torch.float64, generator=generator)
    draw -= draw.mean(0)
    whitener = torch.linalg.cholesky(draw.T @ draw / EXAMPLES)
    white = torch.linalg.solve_triangular(whitener, draw.T, upper=False)
    z = (torch.linalg.cholesky(covariance) @ white).T + mean
    source = Source("surrogate", SURROGATE, f"{reason}; torch generator, seed {seed}", "")
    return Table(z[:, :-1].contiguous(), z[:, -1].contiguous(), source)


@dataclass(frozen=True, eq=False)
class Minibatches:
    """The minibatches of one epoch; iterating gives the row numbers of one after another.

    Attributes:
        rows: (n,) int64, row numbers in the order in which they are used.
        size: Examples in a minibatch; the last one may be shorter.
    """

    rows: Tensor
    size: int

    def __iter__(self) -> Iterator[Tensor]:
        """Iterates over the row numbers of the minibatches, each (size,) int64."""
        return iter(self.rows.split(self.size))

    def __len__(self) -> int:
        """Returns the number of minibatches."""
        return math.ceil(len(self.rows) / self.size)


class MinibatchSizeError(FloplineError, ValueError):
    """A minibatch would have no examples, or more than there are."""


def check_size(n: int, size: int) -> None:
    """Checks that minibatches of a size can be drawn from n examples.

    Raises:
        MinibatchSizeError: The size is not between 1 and n.
    """
    if not 1 <= size <= n:
        raise MinibatchSizeError(
            f"the minibatch size is {size}; allowed are 1 to {n}, the number of examples"
        )


def shuffled(n: int, size: int, generator: torch.Generator) -> Minibatches:
    """Draws one epoch without replacement: every one of n rows once, in a fresh random order.

    Raises:
        MinibatchSizeError: The size is not between 1 and n.
    """
    check_size(n, size)
    return Minibatches(torch.randperm(n, generator=generator), size)


def with_replacement(n: int, size: int, generator: torch.Generator) -> Minibatches:
    """Draws one epoch with replacement: n independent draws of n rows.

    Raises:
        MinibatchSizeError: The size is not between 1 and n.
    """
    check_size(n, size)
    return Minibatches(torch.randint(n, (n,), generator=generator), size)


def many_draws(
    n: int, size: int, draws: int, generator: torch.Generator, *, replacement: bool
) -> Tensor:
    """Draws row numbers many times at once, for runs or minibatches that are independent.

    Args:
        n: The number of rows to draw from.
        size: How many rows each draw has; n for a whole epoch.
        draws: How many draws are made.
        generator: The source of all of them.
        replacement: True if a row may come more than once in a draw.

    Returns:
        (draws, size) int64. With replacement and one draw, they are the rows of
        `with_replacement`; without, the rows of a draw are in random order.

    Raises:
        MinibatchSizeError: The size is not between 1 and n.
    """
    check_size(n, size)
    if replacement:
        return torch.randint(n, (draws, size), generator=generator)
    return torch.rand(draws, n, generator=generator).argsort(1)[:, :size]
