"""Options made from the fields of settings: names, types, help, defaults, limits, environment."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar, get_args, get_origin

import typer
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from backend.settings import ProjectSettings, faults_of
from backend.settings.option import environment_of, flags_of, limits_of, option_of
from domain.errors import SettingsError
from domain.text import counted

Command = TypeVar("Command", bound=Callable[..., None])


def setting(scope: type[BaseModel], name: str, *, says_default: bool = True) -> Any:
    """The option of one field.

    Args:
        scope: The class of settings.
        name: The field.
        says_default: Whether the field's default holds where the option is not given.

    Returns:
        As ``typer.Option``.
    """
    field = scope.model_fields[name]
    option = option_of(field)
    notes = [f"env var: {variable}" for variable in environment_of(field)[:1]]
    if _is_repeated(field):
        notes.append("repeat for more")
    if says_default:
        notes.append(f"default: {_default_of(name, field)}")
    elif field.default == "" and option.empty:
        notes.append(f"'': {option.empty}")
    if limits := limits_of(field):
        notes.append(limits)
    sentence = " ".join([field.description or "", *(rf"\[{note}]" for note in notes)])
    return typer.Option(
        flags_of(name, field),
        help=sentence.replace("`", ""),
        metavar=option.metavar,
        rich_help_panel=option.panel,
    )


def with_settings(
    scope: type[BaseModel] = ProjectSettings,
    names: Sequence[str] = (),
    *,
    says_defaults: bool = True,
) -> Callable[[Command], Command]:
    """Gives a command an option per field, which it takes as ``**given``: None where not given.

    Args:
        scope: The class of settings.
        names: Its fields; without them all.
        says_defaults: Whether a field's default holds where its option is not given.
    """

    def decorated(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        made = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=Annotated[
                    _written_as(scope.model_fields[name]) | None,
                    setting(scope, name, says_default=says_defaults),
                ],
            )
            for name in names or scope.model_fields
        ]
        command.__signature__ = signature.replace(parameters=[*own, *made])  # type: ignore[attr-defined]
        return command

    return decorated


def values_of(given: Mapping[str, Any], scope: type[BaseModel] = ProjectSettings) -> dict[str, Any]:
    """The settings that were given, as their fields have them.

    Args:
        given: Per field what its option got; None where it was not given.
        scope: The class of settings.

    Raises:
        SettingsError: Some can't be used; names their options.
    """
    values = {name: value for name, value in given.items() if value is not None}
    try:
        settings = scope.model_validate(values)
    except ValidationError as error:

        def flag(name: str) -> str:
            return flags_of(name, scope.model_fields[name]).replace("/", " or ")

        faults = faults_of(error, with_values=True, name_of=flag)
        raise SettingsError(
            f"{counted(error.error_count(), 'option')} can't be used: {faults}.",
            remedy="See --help and docs/settings.md.",
        ) from None
    return {name: getattr(settings, name) for name in values}


def _written_as(field: FieldInfo) -> Any:
    """The type an option has: text wherever the field's own validation must read it."""
    if _is_repeated(field):
        return list[str]
    kinds = set(get_args(field.annotation) or [field.annotation]) - {type(None)}
    kind = kinds.pop()
    is_plain = kind in (bool, int, float) and not kinds and option_of(field).metavar is None
    return kind if is_plain else str


def _is_repeated(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is tuple and get_args(field.annotation)[-1] is ...


def _default_of(name: str, field: FieldInfo) -> str:
    value, empty = field.default, option_of(field).empty
    if value is None or value is PydanticUndefined:
        return empty or "none"
    if isinstance(value, bool):
        return flags_of(name, field).split("/")[not value].lstrip("-")
    if isinstance(value, str | tuple) and not value:
        return f"'', {empty}" if empty else "''"
    return f"{value:g}" if isinstance(value, float) else str(value)
