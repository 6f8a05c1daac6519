"""Measuring both sides at the same time: two live workers that take turns on one CPU."""
