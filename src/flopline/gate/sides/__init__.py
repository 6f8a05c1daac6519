"""A revision, a folder, a wheel or an interpreter becomes a side that can be started."""
