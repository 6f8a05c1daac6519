"""The speed of every commit: asv's results read, compared, published, and measured."""
