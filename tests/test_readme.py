"""README and program say the same: every block that starts with `$` is run.

Numbers, spacing, and the names of torch, BLAS and data, which differ between machines, are ignored.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```console\n\$ (.+)\n((?:.*\n)*?)```$", README, re.MULTILINE)

pytest_plugins = ["pytester"]

# `nox -s bench` is this command in an environment of its own. Here it times as little as it can.
INSTEAD = {
    "python -m pip install nox && python -m nox -s bench": (
        "flopline bench --json {tmp}/bench.json -- "
        "--benchmark-max-time=0.001 --benchmark-min-rounds=1"
    ),
}
NOT_HERE = "python -m pip install nox && python -m nox -s tests"  # it would run this test again
OUTPUTS = [(command, output) for command, output in BLOCKS if command != NOT_HERE]


def shape(text: str) -> list[str]:
    """Returns the lines of an output without what differs between machines."""
    text = re.sub(r"\btorch \S+, blas [^,]+", "torch T, blas B", text)
    text = re.sub(r"\bdata (?:airfoil|surrogate)\b", "data D", text)
    text = re.sub(r"\b\d[\d,.]*(?:e[-+]\d+)?", "#", text)
    text = re.sub(r"# (?:s|ms|us|ns)\b", "# T", text)
    lines = [re.sub(r"[ ─=]+", " ", line).strip() for line in text.splitlines()]
    return [line for line in lines if line]


@pytest.mark.parametrize(("command", "expected"), OUTPUTS, ids=[command for command, _ in OUTPUTS])
def test_the_readme_shows_what_the_program_prints(
    command: str, expected: str, tmp_path: Path
) -> None:
    run = INSTEAD.get(command, command).format(tmp=tmp_path)
    environment = os.environ | {"FLOPLINE_DATA": "surrogate", "COLUMNS": "100", "PATH": _path()}
    done = subprocess.run(
        run.split(),
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # The README was measured on the real table, this run on the one that FLOPLINE_DATA asks for.
    assert ("data airfoil" in expected) == ("data surrogate" in done.stdout)
    pattern = "\n".join(".*" if line == "..." else re.escape(line) for line in shape(expected))
    assert re.fullmatch(pattern, "\n".join(shape(done.stdout)), re.DOTALL), done.stdout


def _path() -> str:
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def test_nox_runs_the_command_that_stands_in_for_it() -> None:
    assert '"flopline", "bench", "--json", "bench.json"' in (ROOT / "noxfile.py").read_text()


def test_ci_calls_the_readmes_test_line() -> None:
    line = "python -m pip install nox && python -m nox -s tests"
    for file in (
        ROOT / "README.md",
        ROOT / ".ci" / "run",
        ROOT / ".github" / "workflows" / "ci.yml",
    ):
        assert line in file.read_text(), file


def test_the_readmes_own_workload_is_verified_and_measured(pytester: pytest.Pytester) -> None:
    (example,) = re.findall(
        r"^```python\n(import numpy as np\n.*?)^```$", README, re.MULTILINE | re.DOTALL
    )
    pytester.makepyfile(example)
    result = pytester.runpytest_subprocess("--benchmark-max-time=0.01")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["sum", "strategy*n*time*", "numpy*1024*", "numpy*1048576*"])
