"""The claims of the chapter, each with a rule and with a function that applies it here."""
