"""A program that builds two sides and lets each print the value and the version of its project.

usage: run_sides.py START BASELINE [--isolated]
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from flopline.gate.sides.environment import sides
from flopline.gate.sides.isolation import Isolation

program, start, baseline, *options = sys.argv[1:]
isolation = Isolation() if "--isolated" in options else None
with sides(Path(start), baseline, isolation=isolation) as both:
    for side in both:
        subprocess.run(
            [side.python, "-P", "-c", program],
            cwd=side.tree,
            env=os.environ | side.environment,
            check=True,
        )
