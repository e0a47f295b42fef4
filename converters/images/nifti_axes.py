"""Which axis of a NIfTI slice runs down the picture, and which along it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, eq=False)
class NiftiAxes:
    """The two axes of a slice, as viewers and DICOM show it.

    A picture's columns run to the patient's left (or back), its rows to the back (or feet): all of
    them against NIfTI's axes (right, front, head). So do the slices that nnloop, SimpleITK and
    nnU-Net write.

    Attributes:
        directions: (3, 3) float64, voxel axes to NIfTI's millimetres.
        is_said: Whether the header says them.
    """

    directions: npt.NDArray[np.float64]
    is_said: bool = True

    @property
    def _world(self) -> tuple[int, int]:
        """The patient's axis (0 right, 1 front, 2 head) that each of the two runs along most."""
        along = np.abs(self.directions[:, :2])
        return int(along[:, 0].argmax()), int(along[:, 1].argmax())

    @property
    def is_known(self) -> bool:
        """Whether the directions say anything: programs without any write none, or the identity."""
        first, second = self._world
        is_finite = bool(np.isfinite(self.directions).all())
        is_identity = np.array_equal(self.directions, np.eye(3))
        return self.is_said and is_finite and not is_identity and first != second

    @property
    def down(self) -> int:
        """The array axis that runs down the picture, 0 or 1."""
        first, second = self._world
        return 1 if self.is_known and first < second else 0

    @property
    def is_mirrored(self) -> tuple[bool, bool]:
        """Whether the rows, and the columns, are stored in the other order than they are shown."""
        if not self.is_known:
            return False, False
        world = self._world
        signs = [self.directions[world[axis], axis] > 0 for axis in (self.down, 1 - self.down)]
        return bool(signs[0]), bool(signs[1])

    @property
    def doubt(self) -> str:
        """What was taken for granted, as the end of a sentence; "" where nothing was."""
        if not self.is_known:
            return "does not say how it lies: its first axis was taken to run down the picture"
        if any(self.is_mirrored):
            return "was mirrored, as viewers show it by its header: compare it with its image"
        return ""

    def shown(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A slice as (height, width) as it is shown.

        Args:
            array: In the order of the file's axes; colours may lie behind the two.
        """
        turned = array.swapaxes(0, 1) if self.down == 1 else array
        rows, columns = self.is_mirrored
        turned = turned[::-1] if rows else turned
        return turned[:, ::-1] if columns else turned

    def stored(self, shown: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The slice in the order of the file's axes: ``shown`` taken back."""
        rows, columns = self.is_mirrored
        turned = shown[:, ::-1] if columns else shown
        turned = turned[::-1] if rows else turned
        return turned.T if self.down == 1 else turned
