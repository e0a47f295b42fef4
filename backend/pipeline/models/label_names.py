"""Fits the labels of a model trained elsewhere to those of a project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from converters.classes.matching import find_class
from domain.errors import SettingsError
from domain.labels import LabelGroup


@dataclass(frozen=True, slots=True)
class FittedLabels:
    """The project's names of a model's classes.

    Attributes:
        class_values: In the model's integer order. A class that the project is to do without keeps
            a name that no label of the project has.
        missing: Labels of the project that the model does not know.
    """

    class_values: tuple[str, ...]
    missing: tuple[str, ...]


def fit_labels(
    labels: Sequence[str], group: LabelGroup, mapping: Mapping[str, str]
) -> FittedLabels:
    """Names a model's classes as the project does.

    A class of the model is taken for the label of the same name (its alias, title or predicted
    name; letter case and nnloop's integer prefix do not matter), unless ``mapping`` says otherwise.

    Args:
        labels: The model's classes in integer order, without background.
        group: The project's labels.
        mapping: Their name -> our name; "" for a class to leave out.

    Raises:
        SettingsError: A class of the model fits no label, two fit the same, all are left out, or
            ``mapping`` names what is not there.
    """
    ours = [c.value for c in group.classes]
    unknown = [theirs for theirs in mapping if theirs not in labels]
    unknown += [name for name in mapping.values() if name and group.class_by_value(name) is None]
    if unknown:
        raise SettingsError(
            f"--map names {unknown[0]!r}, which neither the model nor the project has.",
            remedy=_both(labels, ours),
        )
    fitted = []
    for label in labels:
        if label in mapping:
            chosen = group.class_by_value(mapping[label])
            fitted.append(chosen.value if chosen in group.classes else f"({label})")
            continue
        found = find_class(label, group)
        if found is None:
            raise SettingsError(
                f"The model's class {label!r} is no label of the project.",
                remedy=f"{_both(labels, ours)} Say which is which with --map '{label}=LABEL', or "
                f"leave it out with --map '{label}='.",
            )
        # What the project ignores, or takes for background, is no class to predict.
        fitted.append(found.value if found in group.classes else f"({label})")
    used = [name for name in fitted if name in ours]
    twice = next((name for name in used if used.count(name) > 1), None)
    if twice is not None or not used:
        raise SettingsError(
            f"Two classes of the model would become {twice!r}."
            if twice is not None
            else "Every class of the model is left out.",
            remedy=_both(labels, ours),
        )
    return FittedLabels(tuple(fitted), tuple(name for name in ours if name not in used))


def _both(labels: Sequence[str], ours: Sequence[str]) -> str:
    return f"The model knows {', '.join(labels)}; the project {', '.join(ours)}."
