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


def install(session: nox.Session, *groups: str) -> None:
    """Installs the package from this checkout with its suite, the measured torch, and the groups."""
    session.install(*nox.project.dependency_groups(PROJECT, "measured", *groups), "-e", ".[suite]")


@nox.session
def bench(session: nox.Session) -> None:
    """Verify and time the quick suite; print its tables and save bench.json. Arguments go to pytest."""
    install(session)
    session.run("flopline", "bench", "--json", "bench.json", "--", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests."""
    install(session, "tests")
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
    install(session, "tests", "types")
    session.run("mypy")


SUITE = ("benchmarks/pytest_suite", "--flopline-scale=gate")


@nox.session
def gate(session: nox.Session) -> None:
    """Is this checkout slower than origin/main? Arguments go to `flopline gate`, for example --baseline HEAD~1."""
    install(session)
    session.run("flopline", "gate", "--baseline", "origin/main", *session.posargs, "--", *SUITE)


@nox.session
def calibrate(session: nox.Session) -> None:
    """Measure the gate's own error rates here; write docs/calibration.md. -- RUNS [EXPERIMENT...] (20); 1.5 hours."""
    install(session)
    session.run("python", "docs/calibrate.py", *(session.posargs or ["20"]), "--", *SUITE)


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
