"""Reports on a gate record: one summary of it, and a renderer for each format."""
