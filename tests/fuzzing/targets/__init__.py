"""Every parser of outside data, by name."""

from __future__ import annotations

from tests.fuzzing.target import Target
from tests.fuzzing.targets import (
    addresses,
    archives,
    documents,
    images,
    imports,
    label_studio,
    masks,
    settings,
    web,
)

TARGETS: dict[str, Target] = {
    target.name: target
    for module in (
        label_studio,
        addresses,
        images,
        masks,
        imports,
        archives,
        web,
        settings,
        documents,
    )
    for target in module.TARGETS
}
