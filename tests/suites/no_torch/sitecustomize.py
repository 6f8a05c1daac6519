"""Refuses to import torch in every process that has this folder on its path.

Where REFUSALS names a file, every such process adds its command line to it.
"""

import os
import sys


class Refuses:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("there is no torch here", name="torch")


sys.meta_path.insert(0, Refuses())
if "REFUSALS" in os.environ:
    with open(os.environ["REFUSALS"], "a") as file:
        file.write(" ".join(sys.orig_argv) + "\n")
