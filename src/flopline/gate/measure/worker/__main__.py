"""Starts the session, or the parent of workers; Python runs this file when given its folder."""

from __future__ import annotations

import sys

from flopline_worker.session import main  # type: ignore[import-not-found]  # see the next comment

# Python has put this folder first on the path, even with -P. From here on nothing in it may hide a
# module of the suite; flopline_worker finds its own modules through its package.
del sys.path[0]

if __name__ == "__main__":
    if sys.argv[1] == "parent":
        from flopline_worker.parent import main  # type: ignore[import-not-found]

        sys.exit(main(sys.argv[2:]))
    sys.exit(main(sys.argv[1:]))
