"""The import hooks of editable installations, which would lead a side to the user's checkout.

Some build tools install a hook that is asked before the import path. It is left out for packages
that were built for a side. This file is also run by itself; it imports only what is in Python.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

KNOWN = {
    "MesonpyMetaFinder": ("_top_level_modules",),
    "ScikitBuildRedirectingFinder": ("known_source_files", "known_wheel_files"),
    "ScikitBuildInplaceFinder": ("known_packages",),
}
"""The hooks of meson-python and scikit-build-core: where each has the names that it serves."""
OF_SETUPTOOLS = "_EditableFinder"
"""The hook of setuptools is a class, whose module has the names.

It is asked after the import path, but also for modules that only the user's checkout has.
"""


def leave_out_finders(packages: str) -> None:
    """Removes the hooks that serve some packages, so that a side imports what it has itself.

    Args:
        packages: Names of packages and modules, separated as in PYTHONPATH.
    """
    own = set(packages.split(os.pathsep)) - {""}
    sys.meta_path[:] = [finder for finder in sys.meta_path if not own & served(finder)]


def served(finder: Any) -> set[str]:
    """Returns the packages and modules that a hook of a known kind serves; empty for others."""
    names: list[str] = []
    if isinstance(finder, type):
        if finder.__name__ == OF_SETUPTOOLS:
            mapped = getattr(sys.modules.get(finder.__module__), "MAPPING", ())
            names.extend(name for name in mapped if not is_beside(name))
    else:
        for attribute in KNOWN.get(type(finder).__name__, ()):
            names.extend(getattr(finder, attribute, ()))
    return {name.partition(".")[0] for name in names}


def is_beside(name: str) -> bool:
    """Returns whether a name lies in a namespace of which the side has other packages only.

    Several projects may share a namespace, and the hook of one that is not built is needed.
    """
    top, *inner = name.split(".")
    spec = PathFinder.find_spec(top) if inner else None
    if spec is None or spec.origin is not None:  # a namespace has no file
        return False
    first = next(iter(spec.submodule_search_locations or ()), None)  # what is the side's is first
    if first is None:
        return False
    place = Path(first, *inner)
    return not place.exists() and not place.with_name(f"{place.name}.py").exists()
