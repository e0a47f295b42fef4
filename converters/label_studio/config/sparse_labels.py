"""Labels that are no classes: ignored pixels, background by name, and what is not labelled."""

from __future__ import annotations

from dataclasses import dataclass, replace
from xml.etree.ElementTree import Element

from defusedxml import ElementTree

from converters.label_studio.config.label_config import MAX_CLASSES
from domain.errors import LabelConfigError
from domain.labels import LabelClass, LabelConfig, LabelGroup, Unlabelled
from domain.text import shown


@dataclass(frozen=True, slots=True)
class SparseRules:
    """What a person says about pixels that teach nothing; by default every pixel teaches.

    Attributes:
        ignore_label: Label whose pixels are ignored; "" for none.
        background_label: Label whose pixels are background; "" for none.
        unlabelled: What pixels without any label are.
        unlabelled_choice: Choice of the interface by which an annotator says that the pixels
            without a label are ignored; "" for none.
    """

    ignore_label: str = ""
    background_label: str = ""
    unlabelled: Unlabelled = "background"
    unlabelled_choice: str = ""


def with_sparse_labels(config: LabelConfig, rules: SparseRules) -> LabelConfig:
    """An interface whose labels of these names are no classes any more.

    The classes are numbered 1, 2, ... anew, ignored pixels have the integer after the last.

    Args:
        config: As parsed; its labels may answer to former names.
        rules: What a person says.

    Raises:
        LabelConfigError: There is no such label or choice, a label would be both, or no class is
            left.
    """
    if rules == SparseRules():
        return config
    group = config.group
    _require_choice(config.xml, rules.unlabelled_choice)
    ignored = _label(group, "ignore_label", rules.ignore_label)
    background = _label(group, "background_label", rules.background_label)
    if ignored is not None and ignored == background:
        raise LabelConfigError(
            f"The label {ignored.value!r} can't be both ignored and background.",
            remedy="Name two labels in the settings ignore_label and background_label.",
        )
    kept = [label for label in group.classes if label not in (ignored, background)]
    if not kept:
        raise LabelConfigError(
            "No class is left beside the labels that are ignored or background.",
            remedy="Add a label for what is to be found.",
        )
    if len(kept) + 2 > MAX_CLASSES:
        raise LabelConfigError(
            f"With ignored pixels a label map holds {MAX_CLASSES - 2} classes, got {len(kept)}.",
            remedy="Split the project.",
        )
    classes = tuple(replace(label, index=index) for index, label in enumerate(kept, start=1))
    return replace(
        config,
        group=replace(
            group,
            classes=classes,
            ignore_label=ignored and replace(ignored, index=len(classes) + 1),
            background_label=background and replace(background, index=len(classes) + 2),
            unlabelled=rules.unlabelled,
            unlabelled_choice=rules.unlabelled_choice,
        ),
    )


def as_predicted(config: LabelConfig) -> LabelConfig:
    """An interface as predictions are read by it: what they leave empty is background."""
    group = replace(
        config.group,
        ignore_label=None,
        background_label=None,
        unlabelled="background",
        unlabelled_choice="",
    )
    return replace(config, group=group)


def without_background(group: LabelGroup) -> str:
    """A sentence where all that is not labelled is ignored and nothing is said to be background."""
    if group.unlabelled != "ignore" or group.background_label is not None:
        return ""
    return (
        "Unlabelled pixels are ignored, and no label stands for background: a model would find "
        "its classes everywhere. Add a label for background and name it with "
        "--background-label, unless the classes cover whole images."
    )


def choice_controls(config: LabelConfig) -> tuple[str, ...]:
    """The controls by which annotators say that unlabelled pixels are ignored; maybe none.

    JSON_MIN has what was chosen beside the task's data, where only the name tells it from them.
    """
    wanted = config.group.unlabelled_choice
    return tuple(name for name, found in _choices(config.xml).items() if wanted in found)


def _label(group: LabelGroup, setting: str, name: str) -> LabelClass | None:
    if not name:
        return None
    found = group.class_by_value(name)
    if found is None:
        raise LabelConfigError(
            f"The setting {setting} names {name!r}, which the labelling configuration lacks.",
            remedy=f"Its labels are {', '.join(repr(c.value) for c in group.classes)}. Name one of "
            f"them with --{setting.replace('_', '-')}, or give the interface the label (that of an "
            "export: --label-config FILE.xml).",
        )
    return found


def _require_choice(xml: str, wanted: str) -> None:
    """Refuses a choice that nobody can choose: everything unlabelled would be background."""
    if not wanted:
        return
    found = [name for names in _choices(xml).values() for name in names]
    if wanted not in found:
        has = ", ".join(shown(name) for name in found[:10])
        raise LabelConfigError(
            f"The setting unlabelled_choice names {wanted!r}, which is no choice of the labelling "
            "configuration about whole images.",
            remedy=(f"Its choices are {has}. Name one of them, or add it: " if has else "Add it: ")
            + '<Choices name="rest" toName="image"><Choice value="..."/></Choices> (to '
            "the interface of an export: --label-config FILE.xml).",
        )


def _choices(xml: str) -> dict[str, list[str]]:
    """By name of a control the choices about whole images, as Label Studio stores them."""
    root: Element = ElementTree.fromstring(xml, forbid_dtd=True)
    return {
        control.get("name", ""): [
            tag.get("alias", "") or tag.get("value", "")
            for tag in control.iter()
            if _is_tag(tag, "choice")
        ]
        for control in root.iter()
        if _is_tag(control, "choices") and control.get("perRegion", "").lower() != "true"
    }


def _is_tag(element: Element, tag: str) -> bool:
    return isinstance(element.tag, str) and element.tag.lower() == tag
