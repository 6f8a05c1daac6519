"""`flopline gate`: is the candidate slower than the baseline?"""

from __future__ import annotations

from flopline.cli.gate.command import app

__all__ = ["app"]
