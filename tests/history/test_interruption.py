"""Tests of what ends a run of asv, and of what it leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from flopline.history import asv_program

if TYPE_CHECKING:
    from pathlib import Path

    from tests.history.support.package import Package


def test_a_file_of_asvs_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    asv_program.write_whole(str(path), {"a": 1}, 2)
    assert json.loads(path.read_text()) == {"a": 1, "version": 2}
    with pytest.raises(TypeError):
        asv_program.write_whole(str(path), {"a": object()}, 2)
    assert json.loads(path.read_text()) == {"a": 1, "version": 2}
    assert list(tmp_path.iterdir()) == [path]


def sessions() -> set[str]:
    """Returns the command lines of all programs that this file's runs of asv have started."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return {line for line in listed.stdout.splitlines() if "asv_program" in line}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_run_that_is_ended_leaves_no_process_behind(
    package: Package, number: signal.Signals
) -> None:
    machine = f"ended-{number.name.lower()}"
    command = [sys.executable, "-m", "flopline", "history", "run", package.commits[0]]
    with subprocess.Popen(
        [*command, "--existing", "--machine", machine],
        cwd=package.root,
        env=os.environ | package.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(number)
        _, errors = process.communicate()  # comes back when nobody holds the other ends any more
    assert "Traceback" not in errors
    if number != signal.SIGKILL:
        assert process.returncode == 2
        assert errors.count("interrupted; what was measured is kept, and the next call goes") == 1
    assert not any(machine in line for line in sessions())
