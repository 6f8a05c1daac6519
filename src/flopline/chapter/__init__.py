"""The chapter's times, measured here."""
