"""All checks, in the order in which they are asked."""

from __future__ import annotations

from backend.doctor.check import Check
from backend.doctor.looks import gpu, label_studio, machine, people, project, services, tasks
from backend.doctor.looks.versions import PACKAGES

OF_INSTALLATION: tuple[Check, ...] = (
    *machine.CHECKS,
    *PACKAGES,
    *services.CHECKS,
    *label_studio.CHECKS,
    *gpu.CHECKS,
)
"""Asked once."""

OF_PROJECT: tuple[Check, ...] = (*project.CHECKS, *tasks.CHECKS, *people.CHECKS)
"""Asked of each project."""
