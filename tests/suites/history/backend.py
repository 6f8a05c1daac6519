"""Builds a wheel of src/toy without any other package."""

import pathlib
import zipfile

METADATA = "Metadata-Version: 2.1\nName: toy\nVersion: 1\n"
WHEEL = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def build_wheel(folder, settings=None, metadata=None):
    """Writes the wheel; a source that does not compile has none."""
    name = "toy-1-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder, name), "w") as wheel:
        for path in pathlib.Path("src").rglob("*.py"):
            compile(path.read_text(), str(path), "exec")
            wheel.write(path, path.relative_to("src"))
        wheel.writestr("toy-1.dist-info/METADATA", METADATA)
        wheel.writestr("toy-1.dist-info/WHEEL", WHEEL)
        wheel.writestr("toy-1.dist-info/RECORD", "")
    return name
