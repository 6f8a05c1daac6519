"""Lets a side start twice: to collect, and for one block."""

import os
from pathlib import Path

starts = Path(__file__).with_name("starts")
starts.write_text(starts.read_text() + "." if starts.exists() else ".")
if len(starts.read_text()) > 2:
    os._exit(9)
