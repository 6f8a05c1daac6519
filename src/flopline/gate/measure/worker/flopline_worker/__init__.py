"""A pytest session that times benchmarks batch by batch, when the coordinator says so.

It needs the standard library, pytest and pytest-benchmark, and imports nothing of flopline.
"""
