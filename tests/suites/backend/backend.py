"""A build backend that packs a folder into a wheel: it needs nothing and takes little time.

build.json beside it says what to build: `version`, `needs` (requirements of the project),
`build_needs` (requirements of the build) and `before` (Python code to run first).
"""

import json
import os
import pathlib
import zipfile

HERE = pathlib.Path(__file__).parent
SETTINGS = json.loads((HERE / "build.json").read_text("utf-8"))


def get_requires_for_build_wheel(settings=None):
    return SETTINGS["build_needs"]


def build_wheel(folder, settings=None, metadata=None):
    exec(SETTINGS["before"], globals())
    version = SETTINGS["version"]
    facts = f"subject-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in SETTINGS["needs"])
    files = {
        f"{facts}/METADATA": f"Metadata-Version: 2.1\nName: subject\nVersion: {version}\n{needs}",
        f"{facts}/WHEEL": (
            "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
    }
    for file in (HERE / "src").rglob("*.py"):
        files[file.relative_to(HERE / "src").as_posix()] = file.read_text()
    for name in ("subject", "tests"):
        for file in (HERE / name).rglob("*.py"):
            files[file.relative_to(HERE).as_posix()] = file.read_text()
    is_isolated = "pip-build-env" in os.environ.get("PYTHONPATH", "")
    made = f"MADE = 'by the build of {version}'; ISOLATED = {is_isolated}"
    files["subject/_made.py"] = made
    files[f"{facts}/RECORD"] = "".join(f"{name},,\n" for name in files)
    wheel = f"subject-{version}-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder) / wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return wheel
