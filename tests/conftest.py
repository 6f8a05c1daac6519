"""What all tests share: one thread, no way out to the network or the user's cache, and the real data where it lies."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import settings

from flopline import data

if TYPE_CHECKING:
    from collections.abc import Iterator

# Examples are the same in every run, so that a red test is about the change; slow machines are no failure.
settings.register_profile("flopline", deadline=None, derandomize=True)
settings.load_profile("flopline")


def pytest_configure() -> None:
    # Started in the background by a shell, this process ignores Ctrl-C, and so would every program that a test starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # What a test starts is no worker of xdist, even if the test runs in one: pytest-benchmark would not time anything.
    for name in [name for name in os.environ if name.startswith("PYTEST_XDIST_")]:
        del os.environ[name]


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("cuda") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_downloaded() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLOPLINE_DATA", data.SURROGATE)
        yield


@pytest.fixture(scope="session")
def airfoil() -> Path:
    path = Path(__file__).parents[2] / "shared" / "reference" / data.FILE
    if not path.is_file():
        pytest.skip(f"needs the real table, {path}")
    return path


@pytest.fixture(scope="session")
def table(airfoil: Path) -> data.Table:
    return data.read(airfoil, "file")


@pytest.fixture(scope="session")
def rows(request: pytest.FixtureRequest) -> data.Table:
    """The real table where it lies, else a surrogate."""
    try:
        table: data.Table = request.getfixturevalue("table")
    except pytest.skip.Exception:
        return data.surrogate("a test")
    return table
