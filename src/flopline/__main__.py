"""`python -m flopline` is the command `flopline`."""

from flopline.cli import main

if __name__ == "__main__":
    main()
