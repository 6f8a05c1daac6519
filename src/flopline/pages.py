"""Self-contained HTML pages: one way to fill templates, and one style for all of them.

A page asks nobody for anything: its style is part of it, and so are its pictures. What the pages
have in common is in `style.css` beside this module, which a template includes with
`{% include "style.css" %}` and follows with what is its own.
"""

from __future__ import annotations

import functools

import jinja2


@functools.cache
def environment(package: str) -> jinja2.Environment:
    """Returns what fills the templates of a package, in which every value is escaped.

    A package has one of them, so that each template is compiled once.

    Args:
        package: The package beside whose modules the templates are.
    """
    own, shared = jinja2.PackageLoader(package, "."), jinja2.PackageLoader("flopline", ".")
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader([own, shared]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
