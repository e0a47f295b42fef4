"""What pydantic found wrong with settings, in one sentence."""

from __future__ import annotations

from pydantic import ValidationError


def faults_of(error: ValidationError, *, with_values: bool = False) -> str:
    """Every fault with the name of its field.

    Args:
        error: What pydantic raised.
        with_values: Says what was given, too; not for settings that may be secret.
    """
    return "; ".join(
        f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
        + (f" (got {fault['input']!r})" if with_values else "")
        for fault in error.errors(include_input=with_values, include_url=False)
    )
