"""What became of an image that was imported.

Its task was made, its task had no such annotation, the annotation (or prediction) of an earlier
import was replaced, it stayed, it stayed because a person edited it.
"""

from __future__ import annotations

MADE, ADDED, REPLACED = "made", "added", "replaced"
UNCHANGED, EDITED = "unchanged", "edited"
