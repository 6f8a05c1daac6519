"""`python -m flopline` is the command `flopline`."""

import os
import sys


def leave_out_current_folder() -> None:
    """Takes the folder in which one stands from the import path, where `python -m` puts it first.

    A file of somebody's that is called `random.py` must not take the place of the library's.
    """
    try:
        here = os.getcwd()  # noqa: PTH109  # pathlib might be such a file
    except OSError:
        here = ""
    if not sys.flags.safe_path and sys.path[:1] in ([here], [""]):
        del sys.path[0]


if __name__ == "__main__":
    leave_out_current_folder()
    from flopline.cli import main

    main()
