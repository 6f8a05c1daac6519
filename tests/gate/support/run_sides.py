"""A program that builds two sides and lets each print the value and the version of its project.

usage: run_sides.py START BASELINE [--isolated]
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from flopline.gate.sides.environment import sides

program, start, baseline, *options = sys.argv[1:]
with sides(Path(start), baseline, isolated="--isolated" in options) as both:
    for side in both:
        subprocess.run(
            [side.python, "-P", "-c", program],
            cwd=side.tree,
            env=os.environ | side.environment,
            check=True,
        )
