"""`flopline history`, run in the process of the test."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING
from unittest import mock

from flopline import cli

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it printed."""

    code: object
    stdout: str
    stderr: str


def history(folder: Path, *arguments: str, **environment: str) -> Done:
    """Runs `flopline history` in a folder, on a terminal 160 columns wide."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder),
        mock.patch.dict(os.environ, {"COLUMNS": "160", **environment}),
        mock.patch.object(sys, "argv", ["flopline", "history", *arguments]),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
    ):
        try:
            cli.main()
        except SystemExit as end:
            return Done(end.code, stdout.getvalue(), stderr.getvalue())
    raise AssertionError("the command returned and did not exit")
