"""Projects whose builds take little time, wheels made by hand, and programs that show what was built."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

from tests.gate.support.projects import write

if TYPE_CHECKING:
    from pathlib import Path

    from flopline.gate.sides.environment import Side

# Packs a folder into a wheel: a build that needs nothing, and takes little time.
BACKEND = """\
import os, pathlib, zipfile
HERE = pathlib.Path(__file__).parent

def get_requires_for_build_wheel(settings=None):
    return {more}

def build_wheel(folder, settings=None, metadata=None):
    {before}
    facts = {{
        "METADATA": "Metadata-Version: 2.1\\nName: subject\\nVersion: {version}\\n{needs}",
        "WHEEL": "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }}
    files = {{f"subject-{version}.dist-info/{{name}}": text for name, text in facts.items()}}
    for file in [*(HERE / "src").rglob("*.py"), *(HERE / "subject").rglob("*.py"), *HERE.glob("tests/*.py")]:
        name = file.relative_to(HERE / "src" if "src" in file.relative_to(HERE).parts else HERE)
        files[name.as_posix()] = file.read_text()
    isolated = "pip-build-env" in os.environ.get("PYTHONPATH", "")
    files["subject/_made.py"] = f"MADE = 'by the build of {version}'; ISOLATED = {{isolated}}"
    files["subject-{version}.dist-info/RECORD"] = "".join(f"{{name}},,\\n" for name in files)
    with zipfile.ZipFile(pathlib.Path(folder) / "subject-{version}-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return "subject-{version}-py3-none-any.whl"
"""
OWN_BACKEND = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
ASK = "import subject; from importlib.metadata import version; print(subject.VALUE, version('subject'))"
GATE = f"""
import os, subprocess, sys
from pathlib import Path
from flopline.gate.environments import sides
with sides(Path(sys.argv[1]), sys.argv[2]) as both:
    for side in both:
        program = [side.python, "-P", "-c", {ASK!r}]
        subprocess.run(program, cwd=side.tree, env=os.environ | side.environment, check=True)
"""


def project(
    folder: Path,
    version: str,
    *,
    before: str = "pass",
    needs: str = "",
    where: str = "src/",
    more: tuple[str, ...] = (),
) -> Path:
    """A project whose build takes a moment, and whose value tells its version."""
    return write(
        folder,
        {
            "pyproject.toml": OWN_BACKEND,
            "backend.py": BACKEND.format(version=version, before=before, needs=needs, more=[*more]),
            f"{where}subject/__init__.py": f"VALUE = 'value of {version}'\n",
        },
    )


def wheel(folder: Path, name: str, version: str) -> None:
    folder.mkdir(exist_ok=True)
    facts = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files = {f"{name}-{version}.dist-info/{file}": text for file, text in facts.items()}
    files |= {f"{name}/__init__.py": f"VERSION = '{version}'\n"}
    files[f"{name}-{version}.dist-info/RECORD"] = "".join(f"{file},,\n" for file in files)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)


def install(python: Path, *arguments: str) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--quiet",
        "--no-deps",
    ]
    subprocess.run(
        [*command, "--no-build-isolation", "--disable-pip-version-check", *arguments], check=True
    )


def run(side: Side, program: str = ASK, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [side.python, "-P", "-c", program],
        cwd=cwd or side.tree,
        env=os.environ | side.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
