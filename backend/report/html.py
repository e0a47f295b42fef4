"""Sections as HTML. Whatever people or Label Studio wrote is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from backend.report.section import Section

_TEMPLATES = Path(__file__).with_name("templates")


def fragment(section: Section) -> Markup:
    """One section as a fragment of HTML that any page can hold."""
    text = _environment().get_template("section.html").render(section=section)
    return Markup(text)  # noqa: S704 - the template has escaped all that is in it


def page(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """The whole page: one file that asks for nothing else, and runs no script.

    Args:
        title: Of the project.
        subtitle: When and of what.
        sections: In order, the summary first.
    """
    template = _environment().get_template("page.html")
    return template.render(
        title=title,
        subtitle=subtitle,
        sections=sections,
        fragments=[fragment(section) for section in sections],
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
