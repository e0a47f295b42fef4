"""What pydantic found wrong with settings, in one sentence."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import ValidationError


def faults_of(
    error: ValidationError,
    *,
    with_values: bool = False,
    name_of: Callable[[str], str] = str,
) -> str:
    """Every fault with the name of its field.

    Args:
        error: What pydantic raised.
        with_values: Says what was given, too; not for settings that may be secret.
        name_of: What people call a field, where they write it otherwise.
    """
    sentences = []
    for fault in error.errors(include_input=with_values, include_url=False):
        first, *inner = fault["loc"] or ("",)
        place = ".".join([name_of(str(first)), *map(str, inner)])
        value = f" (got {fault['input']!r})" if with_values else ""
        sentences.append(f"{place}: {fault['msg'].removeprefix('Value error, ')}{value}")
    return "; ".join(sentences)
