"""The strategies of a distribution `foreign-one`."""

NUMBER = 3


def chunked(out, b, c, *, block):
    return "foreign one"
