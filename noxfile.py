"""How people and CI run flopline: `python -m nox -l` lists the sessions."""

from __future__ import annotations

import tempfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["tests", "lint", "types"]

PROJECT = nox.project.load_toml("pyproject.toml")


def install(session: nox.Session, *groups: str, extras: str = "suite") -> None:
    """Installs the package from this checkout with its extras, the measured torch, and the groups."""
    session.install(*nox.project.dependency_groups(PROJECT, "measured", *groups), "-e", f".[{extras}]")


@nox.session
def bench(session: nox.Session) -> None:
    """Verify and time the quick suite; print its tables and save bench.json. Arguments go to pytest."""
    install(session)
    session.run("flopline", "bench", "--json", "bench.json", "--", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests."""
    install(session, "tests", extras="suite,history")
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style with ruff, and the import rules with import-linter."""
    session.install(*nox.project.dependency_groups(PROJECT, "lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports", env={"PYTHONPATH": "src"})


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy, strictly."""
    install(session, "tests", "types", extras="suite,history")
    session.run("mypy")


SUITE = ("benchmarks/pytest_suite", "--flopline-scale=gate")


@nox.session
def gate(session: nox.Session) -> None:
    """Is this checkout slower than origin/main? Arguments go to `flopline gate`, for example --baseline HEAD~1."""
    install(session)
    session.run("flopline", "gate", "--baseline", "origin/main", *session.posargs, "--", *SUITE)


@nox.session
def calibrate(session: nox.Session) -> None:
    """Measure the gate's own error rates here, and write docs/calibration.md. -- N runs of each kind (20); hours."""
    install(session)
    session.run("python", "docs/calibrate.py", *(session.posargs or ["20"]), "--", *SUITE)


@nox.session
def history(session: nox.Session) -> None:
    """Measure the newest commits, publish the pages. -- --commits 5, a range, commits, tags; -- publish; -- preview."""
    install(session, extras="suite,history")
    if session.posargs in (["publish"], ["preview"]):
        session.run("asv", *session.posargs)
        return
    # 1: a case failed; asv has recorded it, and the other commits deserve their pages.
    session.run("flopline", "history", "run", *session.posargs, success_codes=[0, 1])
    session.run("asv", "publish")


@nox.session
def pages(session: nox.Session) -> None:
    """Open the published pages of a small history in headless Chromium; needs npm for the scripts asv's pages load."""
    install(session, "tests", extras="suite,history")
    session.run("npm", "ci", "--prefix", "tests/history/vendor", "--ignore-scripts", "--no-audit", external=True)
    session.run("pytest", "tests/history/test_pages.py", "-rs", *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """Build sdist and wheel into dist/, and use the wheel in a clean environment."""
    session.install("build", "virtualenv")
    for old in Path("dist").glob("flopline-*"):
        old.unlink()
    session.run("python", "-m", "build", "--outdir", "dist")
    (wheel,) = Path("dist").resolve().glob("flopline-*.whl")
    with tempfile.TemporaryDirectory() as clean:
        session.run("virtualenv", "-q", clean)
        session.run(f"{clean}/bin/python", "-m", "pip", "install", "-q", str(wheel), external=True)
        session.chdir(clean)
        session.run("bin/flopline", "--version", external=True)
        session.run("bin/flopline", "list", external=True)
