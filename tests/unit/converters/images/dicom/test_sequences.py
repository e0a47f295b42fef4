from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

from converters.images.dicom.frames import read_frames
from converters.images.dicom.sequences import spacing_in_sequences
from converters.images.medical_pixels import read_medical

FRAMES = (np.arange(3 * 12 * 20) % 251).astype(np.uint8).reshape(3, 12, 20)


def region(dx: Any = 0.02, dy: Any = 0.05, *, form: int = 1, units: int = 3) -> Dataset:
    """A region of ultrasound; sizes in centimetres unless ``units`` says otherwise."""
    made = Dataset()
    made.RegionSpatialFormat, made.RegionDataType, made.RegionFlags = form, 1, 0
    made.RegionLocationMinX0, made.RegionLocationMinY0 = 0, 0
    made.RegionLocationMaxX1, made.RegionLocationMaxY1 = 19, 11
    made.PhysicalUnitsXDirection = made.PhysicalUnitsYDirection = units
    made.PhysicalDeltaX, made.PhysicalDeltaY = dx, dy
    return made


def group(spacing: list[float] | None) -> Dataset:
    made, measures = Dataset(), Dataset()
    if spacing is not None:
        measures.PixelSpacing = spacing
    made.PixelMeasuresSequence = Sequence([measures])
    return made


def written(
    path: Path,
    *,
    kind: UID = UltrasoundImageStorage,
    syntax: UID = ExplicitVRLittleEndian,
    n: int = 1,
    **values: Any,
) -> Path:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = syntax, kind
    meta.MediaStorageSOPInstanceUID = generate_uid()
    made = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    made.SOPClassUID, made.SOPInstanceUID = kind, meta.MediaStorageSOPInstanceUID
    made.Modality, made.Rows, made.Columns = "US", 12, 20
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit, made.PixelRepresentation = 7, 0
    if n > 1:
        made.NumberOfFrames = n
    made.PixelData = FRAMES[:n].tobytes()
    for name, value in values.items():
        setattr(made, name, value)
    made.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_ultrasound_says_it_of_its_regions(tmp_path: Path, syntax: UID) -> None:
    regions = Sequence([region(), region(form=3, dx=1.0), region(dx=-0.02)])
    path = written(tmp_path / "a.dcm", syntax=syntax, SequenceOfUltrasoundRegions=regions)
    assert spacing_in_sequences(path) == pytest.approx((0.5, 0.2))
    found = read_frames(path)
    assert found.spacing_mm == pytest.approx((0.5, 0.2))
    np.testing.assert_array_equal(found.array, FRAMES[:1])
    assert read_medical(path.read_bytes(), 0).spacing_mm == pytest.approx((0.5, 0.2))


def test_a_clip_of_ultrasound(tmp_path: Path) -> None:
    regions = Sequence([region()])
    kind = UltrasoundMultiFrameImageStorage
    path = written(tmp_path / "a.dcm", kind=kind, n=3, SequenceOfUltrasoundRegions=regions)
    assert read_frames(path).spacing_mm == pytest.approx((0.5, 0.2))


def test_what_the_file_says_of_the_whole_picture_counts_before(tmp_path: Path) -> None:
    regions = Sequence([region()])
    path = written(
        tmp_path / "a.dcm",
        kind=CTImageStorage,
        SequenceOfUltrasoundRegions=regions,
        PixelSpacing=[0.7, 0.3],
    )
    assert read_frames(path).spacing_mm == pytest.approx((0.7, 0.3))


@pytest.mark.parametrize(
    "regions",
    [
        [],
        [region(), region(dx=0.03)],  # two depths side by side
        [region(units=4)],  # seconds
        [region(form=2)],
        [region(dx=0.0)],
        [region(dx=float("nan"))],
        [region(dy=1e300)],
        [Dataset()],
    ],
)
def test_what_says_nothing_of_all_of_the_picture_is_not_taken(
    tmp_path: Path, regions: list[Dataset]
) -> None:
    path = written(tmp_path / "a.dcm", SequenceOfUltrasoundRegions=Sequence(regions))
    assert spacing_in_sequences(path) is None


@pytest.mark.parametrize(
    ("shared", "each", "expected"),
    [
        ([group([0.4, 0.25])], [], (0.4, 0.25)),
        ([], [group([0.4, 0.25])] * 3, (0.4, 0.25)),
        ([Dataset()], [group([0.4, 0.25])] * 3, (0.4, 0.25)),
        ([], [group([0.4, 0.25])] * 2 + [group([0.5, 0.25])], None),
        ([group(None)], [], None),
        ([], [], None),
    ],
)
def test_enhanced_images_say_it_of_groups_of_frames(
    tmp_path: Path,
    shared: list[Dataset],
    each: list[Dataset],
    expected: tuple[float, float] | None,
) -> None:
    path = written(
        tmp_path / "a.dcm",
        kind=EnhancedCTImageStorage,
        n=3,
        SharedFunctionalGroupsSequence=Sequence(shared),
        PerFrameFunctionalGroupsSequence=Sequence(each),
    )
    found = spacing_in_sequences(path)
    assert found == (None if expected is None else pytest.approx(expected))


def test_damaged_files_say_nothing_and_print_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    regions = Sequence([region()])
    whole = written(tmp_path / "a.dcm", SequenceOfUltrasoundRegions=regions).read_bytes()
    path = tmp_path / "b.dcm"
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for end in range(0, len(whole) - FRAMES[0].size, 7):
            path.write_bytes(whole[:end])
            assert spacing_in_sequences(path) in (None, pytest.approx((0.5, 0.2)))
        for at in range(132, len(whole) - FRAMES[0].size, 3):
            path.write_bytes(whole[:at] + b"\xff" + whole[at + 1 :])
            spacing_in_sequences(path)
    assert spacing_in_sequences(tmp_path / "none.dcm") is None
    assert (warned, caplog.text) == ([], "")


def test_a_deflated_file_is_not_blown_up(tmp_path: Path) -> None:
    regions = Sequence([region()])
    syntax = DeflatedExplicitVRLittleEndian
    path = written(tmp_path / "a.dcm", syntax=syntax, SequenceOfUltrasoundRegions=regions)
    assert spacing_in_sequences(path) is None
