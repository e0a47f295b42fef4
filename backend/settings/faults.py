"""What pydantic found wrong with settings, in one sentence."""

from __future__ import annotations

from pydantic import ValidationError


def faults_of(error: ValidationError) -> str:
    """Every fault with the name of its field; the values, which may be secret, stay out."""
    return "; ".join(
        f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
        for fault in error.errors(include_input=False, include_url=False)
    )
