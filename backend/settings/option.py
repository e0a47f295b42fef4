"""How a setting stands in help and docs: all of it is read from its field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import AliasChoices
from pydantic.fields import FieldInfo


@dataclass(frozen=True, slots=True)
class Option:
    """Metadata of a field: what its option needs besides the field's own name, type and limits.

    Attributes:
        panel: Heading over the option in the help; without one it stands among the general ones.
        flags: How the option is called where it is not called as the field.
        metavar: What people write after it, where that is no plain value of the field's type.
        empty: What holds while the setting has no value.
    """

    panel: str | None = None
    flags: str = ""
    metavar: str | None = None
    empty: str = ""


def option_of(field: FieldInfo) -> Option:
    """The field's ``Option``; one that says nothing where it has none."""
    return next((one for one in field.metadata if isinstance(one, Option)), Option())


def flags_of(name: str, field: FieldInfo) -> str:
    """``--seed``; of a switch ``--on/--off``."""
    flag = "--" + name.replace("_", "-")
    is_switch = bool in (field.annotation, *get_args(field.annotation))
    return option_of(field).flags or (f"{flag}/--no-{flag[2:]}" if is_switch else flag)


def limits_of(field: FieldInfo) -> str:
    """``2 to 20``, ``at least 1``, ``above 0, at most 1``, ``one of `a`, `b```; may be empty."""
    if get_origin(field.annotation) is Literal:
        return f"one of {', '.join(f'`{value}`' for value in get_args(field.annotation))}"
    limits: dict[type, Any] = {type(one): one for one in field.metadata}
    if Ge in limits and Le in limits:
        return f"{limits[Ge].ge:g} to {limits[Le].le:g}"
    words = []
    if Gt in limits:
        words.append(f"above {limits[Gt].gt:g}")
    if Ge in limits:
        words.append(f"at least {limits[Ge].ge:g}")
    if Lt in limits:
        words.append(f"below {limits[Lt].lt:g}")
    if Le in limits:
        words.append(f"at most {limits[Le].le:g}")
    return ", ".join(words)


def environment_of(field: FieldInfo) -> tuple[str, ...]:
    """Environment variables that set the field, the documented one first."""
    alias = field.validation_alias
    names = alias.choices if isinstance(alias, AliasChoices) else ()
    return tuple(str(name) for name in names if str(name).isupper())
