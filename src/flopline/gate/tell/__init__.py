"""A gate record, for people and for programs."""
