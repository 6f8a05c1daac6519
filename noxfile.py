"""How people and CI run flopline: `python -m nox -l` lists the sessions."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["tests", "lint", "types"]

PROJECT = nox.project.load_toml("pyproject.toml")


def install(session: nox.Session, *groups: str, extras: str = "suite") -> None:
    """Installs this checkout with extras, the one measured torch, and dependency groups."""
    session.install(
        *nox.project.dependency_groups(PROJECT, "measured", *groups), "-e", f".[{extras}]"
    )


@nox.session
def bench(session: nox.Session) -> None:
    """Verify and time the quick suite and save bench.json. Arguments go to pytest."""
    install(session)
    session.run("flopline", "bench", "--json", "bench.json", "--", *session.posargs)


@nox.session
def report(session: nox.Session) -> None:
    """Measure everything and write flopline.html. Arguments go to `flopline report`."""
    install(session, extras="suite,report")
    session.run("flopline", "report", *(session.posargs or ["flopline.html"]))


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests. Arguments go to pytest."""
    install(session, "tests", extras="suite,history,report")
    if session.posargs:
        session.run("pytest", *session.posargs)
        return
    # Tests that expect a verdict on times have the machine to themselves. The others share it; the
    # tests of a file run in one process.
    session.run("pytest", "-m", "not judges_times", "-n", "2", "--dist", "loadfile")
    session.run("pytest", "-m", "judges_times")


@nox.session
@nox.parametrize("benchmark", ["4.0.0", "5.1.0", "5.2.0", "newest"])
def compatibility(session: nox.Session, benchmark: str) -> None:
    """Run the tests of the gate's workers with a version of pytest-benchmark, without torch."""
    # Versions up to 5.2 read an attribute of a test that pytest 9 and newer do not have.
    old = [] if benchmark == "newest" else [f"pytest-benchmark=={benchmark}", "pytest<9"]
    session.install("-e", ".", "hypothesis", "pytest-xdist", *old)
    # The conftest.py above loads torch, and sets what this profile sets.
    session.run(
        *("pytest", "--confcutdir=tests/gate", "--hypothesis-profile=ci"),
        "tests/gate/measure",
        *session.posargs,
    )


@nox.session
def lowest(session: nox.Session) -> None:
    """Run the gate's tests with the lowest versions that are declared, without torch."""
    declared = PROJECT["project"]["dependencies"]
    session.install("-e", ".", *(bound.replace(">=", "==") for bound in declared))
    session.install("hypothesis", "pytest-xdist")
    for command in (["--version"], ["list"], ["gate", "--help"], ["history", "run", "--help"]):
        session.run("flopline", *command, silent=True)
    rooms = [f"tests/gate/{room}" for room in ("judge", "measure", "tell", "test_storage.py")]
    options = ("--confcutdir=tests/gate", "--hypothesis-profile=ci", "-m", "not judges_times")
    session.run("pytest", *options, *rooms, *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style with ruff, the import rules with import-linter, and workflows and actions."""
    session.install(*nox.project.dependency_groups(PROJECT, "lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports", env={"PYTHONPATH": "src"})
    session.run("jactionlint", "--shellcheck=")
    session.run("zizmor", "--offline", "--quiet", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy, strictly."""
    install(session, "tests", "types", extras="suite,history,report")
    session.run("mypy")


SUITE = ("benchmarks/pytest_suite", "--flopline-scale=gate")


@nox.session
def gate(session: nox.Session) -> None:
    """Ask whether this checkout is slower than origin/main. Arguments go to `flopline gate`."""
    install(session)
    session.run("flopline", "gate", "--baseline", "origin/main", *session.posargs, "--", *SUITE)


@nox.session
def calibrate(session: nox.Session) -> None:
    """Measure the gate's error rates for hours. Arguments: parts, such as `null=20 asv`."""
    install(session, extras="suite,history")
    session.run("python", "docs/calibrate.py", *session.posargs, "--", *SUITE)


@nox.session
def history(session: nox.Session) -> None:
    """Measure commits and publish pages. Arguments: --commits 5, a range, publish or preview."""
    install(session, extras="suite,history")
    if session.posargs in (["publish"], ["preview"]):
        session.run("asv", *session.posargs)
        return
    # Exit code 1 means that a case failed. asv has recorded it, and the others get their pages.
    session.run("flopline", "history", "run", *session.posargs, success_codes=[0, 1])
    session.run("asv", "publish")


@nox.session
def pages(session: nox.Session) -> None:
    """Open the pages of a small history in headless Chromium. npm installs their scripts."""
    install(session, "tests", extras="suite,history")
    session.run(
        "npm",
        "ci",
        "--prefix",
        "tests/history/vendor",
        "--ignore-scripts",
        "--no-audit",
        external=True,
    )
    session.run("pytest", "tests/history/test_pages.py", "-rs", *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """Build sdist and wheel, and gate a foreign project with the wheel and without torch."""
    session.install("build", "virtualenv")
    for old in Path("dist").glob("flopline-*"):
        old.unlink()
    session.run("python", "-m", "build", "--outdir", "dist")
    (wheel,) = Path("dist").resolve().glob("flopline-*.whl")
    with tempfile.TemporaryDirectory() as clean:
        session.run("virtualenv", "-q", clean)
        session.run(f"{clean}/bin/python", "-m", "pip", "install", "-q", str(wheel), external=True)
        for version in ("plain", "slower"):
            shutil.copytree("tests/suites/shapes", f"{clean}/{version}")
            shutil.copy(f"tests/suites/subjects/{version}/subject.py", f"{clean}/{version}")
        session.chdir(clean)
        session.run("bin/flopline", "--version", external=True)
        session.run("bin/flopline", "list", external=True)
        session.run(
            "bin/python", "-c", "import torch", external=True, silent=True, success_codes=[1]
        )
        versions = ("--baseline", "plain", "--candidate", "slower", "--detect", "10%")
        found = ("bin/flopline", "gate", *versions, "--", "-k", "test_plain")
        session.run(*found, external=True, success_codes=[1])  # a regression
