"""The chapter's times and losses, measured on this machine."""
