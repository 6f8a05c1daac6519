"""The strategies of a distribution `foreign-two`."""


def chunked(out, b, c, *, block):
    return "foreign two"
