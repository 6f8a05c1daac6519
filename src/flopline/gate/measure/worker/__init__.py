"""The program that measures one side: pytest with a plugin that the coordinator directs.

The folder is started by its path, in the environment of either side, which may have no flopline::

    python -P worker/ READ_FD WRITE_FD PEER_READ_FD PEER_WRITE_FD PYTEST_ARGUMENTS...

Nothing in it imports flopline. The coordinator imports `flopline_worker.protocol` from here, and
only for that is the folder a package.
"""
