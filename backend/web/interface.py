"""Checks an answer against the labelling interface, which Label Studio itself does not do here.

A region with a label that the interface lacks would show grey, and survive the annotator's Submit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any

from backend.pipeline.labels.of_version import without
from backend.pipeline.labels.shown import as_shown
from converters.label_studio.config.controls import first_misplaced, places_of
from converters.label_studio.config.label_config import parse_label_config
from domain.errors import PredictionError
from domain.labels import LabelConfig, LabelNames


def check_labels(xml: str, version: str, results: Iterable[list[dict[str, Any]]]) -> None:
    """Checks that the interface has the control and the labels of every region.

    Args:
        xml: the labelling interface as it is now.
        version: name of the version that predicted, for the message.
        results: Label Studio results.

    Raises:
        LabelConfigError: if nnloop can't use the interface.
        PredictionError: if a region would not fit.
    """
    config = _parsed(xml)
    places = places_of(config.group)
    tags = {place[:3] for place in places}
    known = {*config.class_values}
    for region in filter(None, (first_misplaced(result, places) for result in results)):
        control = region.get("from_name"), region.get("to_name"), region.get("type")
        labels = region.get("value", {}).get(region.get("type"), [])
        if control not in tags:
            raise _misfit(version, f"the control {region.get('from_name')!r}")
        if not known.issuperset(labels):
            raise _misfit(version, f"the label {min(set(labels) - known)!r}")
        raise _misfit(version, f"{labels} by the control {region.get('from_name')!r}")


def in_current_labels(
    xml: str,
    mapping: Mapping[str, str],
    results: Iterable[list[dict[str, Any]]],
    *,
    version: str,
    reused: Collection[str] = (),
) -> list[list[dict[str, Any]]]:
    """Results with their labels renamed as in the interface; labels that it lacks stay.

    Args:
        xml: the labelling interface as it is now.
        mapping: the project's label mapping, {old name: new name}.
        results: Label Studio results, in the names their version was trained on.
        version: its name, for the message.
        reused: names that mean another class in the version than in the interface.

    Raises:
        LabelConfigError: if nnloop can't use the interface.
        PredictionError: if a region has one of the reused names.
    """
    config = _parsed(xml)
    config = without(LabelNames(mapping, config.class_values).applied_to(config), reused)
    shown = [as_shown(result, config.group) for result in results]
    if others := {name for _, lost in shown for name in lost if name in reused}:
        raise PredictionError(
            f"Another class is called {min(others)!r} now than when version {version} was trained.",
            remedy="Its predictions are held: train a version for the new interface "
            "(nnloop train PROJECT).",
        )
    return [result for result, _ in shown]


def _misfit(version: str, what: str) -> PredictionError:
    return PredictionError(
        f"Version {version} predicts {what}, which the labelling interface does not have any more.",
        remedy="Its predictions are held. Renamed? nnloop labels PROJECT --map OLD=NEW; else "
        "put it back, or train a version for the new interface: nnloop train PROJECT",
    )


@lru_cache(maxsize=16)
def _parsed(xml: str) -> LabelConfig:
    return parse_label_config(xml)
