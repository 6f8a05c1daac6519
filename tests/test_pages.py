from __future__ import annotations

import jinja2
import pytest

from flopline import pages


def test_every_value_of_a_page_is_escaped() -> None:
    template = pages.environment("flopline.chapter").from_string("<p title='{{ x }}'>{{ x }}</p>")
    assert "<b" not in template.render(x="<b '\"")


def test_a_template_without_a_value_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        pages.environment("flopline.chapter").from_string("{{ missing }}").render()


@pytest.mark.parametrize("package", ["flopline.chapter", "flopline.gate.tell"])
def test_a_page_has_the_shared_style_and_its_own(package: str) -> None:
    environment = pages.environment(package)
    shared = environment.get_template("style.css").render()
    own = environment.get_template("page.css").render()
    assert "prefers-color-scheme: dark" in shared
    assert shared != own
    for style in (shared, own):
        assert style.count("{") == style.count("}")
        assert "url(" not in style
