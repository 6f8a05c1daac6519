"""The suite: what is measured, for pytest-benchmark and for asv."""
