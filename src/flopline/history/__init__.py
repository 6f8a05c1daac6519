"""The speed of every commit: asv's results are read, compared, searched, published and measured."""
