"""A program that fails if a module would not be imported from below a folder.

It is started by its path, with the worker's file of import hooks, the folder and the names of the
modules as its arguments, in the environment of a side. It imports nothing of flopline.
"""

import importlib.util
import os
import runpy
import sys

finders, folder, *names = sys.argv[1:]
runpy.run_path(finders)["leave_out_finders"](os.pathsep.join(names))
for name in names:
    spec = importlib.util.find_spec(name)
    place = "nowhere"
    if spec is not None:
        # A package without __init__.py has no origin, but a list of folders.
        place = spec.origin or next(iter(spec.submodule_search_locations or ["nowhere"]))
    if not place.startswith(folder):
        sys.exit(f"{name} would come from {place}")
