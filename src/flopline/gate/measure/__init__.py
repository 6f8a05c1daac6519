"""Two live workers in lockstep."""
