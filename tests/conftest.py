"""What all tests share: one thread, no way to the network or the user's cache, and the table."""

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

# Examples are the same in every run, so that a red test is about the change; slow machines are no
# failure.
settings.register_profile("flopline", deadline=None, derandomize=True)
settings.load_profile("flopline")

REAL_TABLE = Path(os.environ.get("FLOPLINE_DATA", "")).absolute()
"""The real table if FLOPLINE_DATA names it; read before the variable is changed for the tests."""


def pytest_configure() -> None:
    # A process that a shell starts in the background ignores Ctrl-C, one that nohup starts ignores
    # SIGHUP, and so does every program that they start. Tests need programs that do not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    # What a test starts is no worker of xdist, even if the test runs in one; pytest-benchmark would
    # not time anything in a worker.
    for name in list(os.environ):
        if name.startswith("PYTEST_XDIST_"):
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
    """The file of the real table; a test that takes it needs the table's own bytes."""
    if not REAL_TABLE.is_file():
        pytest.skip(f"needs the real table: set FLOPLINE_DATA to the file {data.FILE}")
    return REAL_TABLE


@pytest.fixture(scope="session")
def table(airfoil: Path) -> data.Table:
    """The real table; a test that takes it needs the order of the rows, or their noise."""
    return data.read(airfoil, "file")


@pytest.fixture(scope="session")
def rows() -> data.Table:
    """The real table if FLOPLINE_DATA names it, otherwise the surrogate."""
    if REAL_TABLE.is_file():
        return data.read(REAL_TABLE, "file")
    return data.surrogate("a test")


@pytest.fixture(autouse=True)
def signal_handlers() -> Iterator[None]:
    """Puts signal handlers back, which the program's `main` installs for the rest of its life."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
