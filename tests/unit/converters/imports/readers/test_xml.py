"""CVAT for images and Pascal VOC."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from converters.imports.readers.cvat import read_cvat
from converters.imports.readers.voc import read_voc
from converters.imports.source import ImportedImage, ImportOptions
from converters.painting.rasterize import shape_to_mask
from domain.annotation import LeftOut
from domain.errors import FileFormatError

SIZE_HW = (40, 50)
BOMB = (
    '<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;">]>'
    "<annotations><image name='&c;' width='1' height='1'/></annotations>"
)


def _areas(image: ImportedImage) -> list[int]:
    return [
        int(np.logical_or.reduce([shape_to_mask(s, SIZE_HW) for s in region.shapes]).sum())
        for region in image.regions
    ]


def _cvat(tmp_path: Path, shapes: str, more: str = "") -> list[ImportedImage | LeftOut]:
    path = tmp_path / "annotations.xml"
    path.write_text(
        "\ufeff<?xml version='1.0' encoding='utf-8'?><annotations><version>1.1</version>"
        "<meta><task><labels><label><name>cell</name></label></labels></task></meta>"
        f"<image id='0' name='s/a.png' width='50' height='40'>{shapes}</image>{more}</annotations>",
        encoding="utf-8",
    )
    return list(read_cvat(tmp_path, ImportOptions()))


def test_shapes_of_cvat(tmp_path: Path) -> None:
    found = _cvat(
        tmp_path,
        """
        <mask label="top" rle="3, 4, 4, 4, 5" left="2" top="1" width="5" height="4" z_order="2"/>
        <polygon label="cell" points="10.0,5.0;30.0,5.0;30.0,15.0;10.0,15.0" z_order="0"/>
        <box label="cell" xtl="10" ytl="5" xbr="30" ybr="15" z_order="0"/>
        <box label="cell" xtl="15" ytl="15" xbr="35" ybr="25" rotation="90" z_order="0"/>
        <ellipse label="cell" cx="25" cy="20" rx="15" ry="5" rotation="90.0"/>
        <polyline label="cell" points="1,1;2,2"/>
        <points label="cell" points="1,1"/>
        <polygon label="cell" points="1,1;2,2"/>
        <polygon label="cell" points="1,x;2,2;3,3"/>
        <mask label="cell" rle="1, 2" left="2" top="1" width="5" height="4"/>
        <box label="cell" xtl="10" ytl="5" xbr="10" ybr="15"/>
        <tag label="blurry"/>
        """,
        "<image id='1' name='b.png' width='50' height='40'></image><image id='2' width='5'/>",
    )
    image, empty, nameless = found
    assert isinstance(image, ImportedImage) and isinstance(empty, ImportedImage)
    assert isinstance(nameless, LeftOut)
    areas = _areas(image)
    assert areas[:3] == [200, 200, 200]
    assert areas[3] == pytest.approx(np.pi * 75, rel=0.03)
    assert areas[4] == 8
    upright = shape_to_mask(image.regions[2].shapes[0], SIZE_HW)
    assert upright[11, 21] and not upright[20, 16]
    assert [region.class_name for region in image.regions][-1] == "top"  # drawn last
    mask = shape_to_mask(image.regions[-1].shapes[0], SIZE_HW)
    assert np.flatnonzero(mask[1]).tolist() == [5, 6]  # runs go along the rows
    reasons = [note.reason for note in image.notes]
    assert sorted(reasons) == ["malformed_region"] * 4 + ["no_area"] * 2
    assert (image.file_name, image.size_hw, image.is_empty) == ("s/a.png", SIZE_HW, False)
    assert empty.is_empty


@pytest.mark.parametrize("text", ["", "<a/>", "<annotations/>", "<annotations>", "{}", BOMB])
def test_no_file_of_cvat_says_so(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.xml"
    path.write_text(text)
    with pytest.raises(FileFormatError, match=r"x\.xml"):
        list(read_cvat(path, ImportOptions()))
    with pytest.raises(FileFormatError, match="can't be read"):
        list(read_cvat(tmp_path / "nowhere.xml", ImportOptions()))


def test_a_large_file_is_read_image_by_image(tmp_path: Path) -> None:
    row = "<image id='1' name='{0}.png' width='9' height='9'><box label='x' xtl='0' ytl='0' "
    row += "xbr='4' ybr='4'/></image>"
    more = "".join(row.format(i) for i in range(3000))
    found = _cvat(tmp_path, "", more)
    assert len(found) == 3001
    assert all(isinstance(e, ImportedImage) and len(e.regions) <= 1 for e in found)


def _voc(objects: str, filename: str = "a.jpg") -> str:
    return (
        f"<annotation><folder>x</folder><filename>{filename}</filename><size><width>50</width>"
        f"<height>40</height><depth>3</depth></size>{objects}</annotation>"
    )


def test_objects_of_voc(tmp_path: Path) -> None:
    box = "<bndbox><xmin>10</xmin><ymin>5.0</ymin><xmax>30</xmax><ymax>15</ymax></bndbox>"
    flat = "".join(
        f"<x{i}>{x}</x{i}><y{i}>{y}</y{i}>"
        for i, (x, y) in enumerate(((10, 5), (30, 5), (30, 15)), start=1)
    )
    nested = "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in ((10, 5), (30, 5), (30, 15)))
    folder = tmp_path / "Annotations"
    folder.mkdir()
    (folder / "a.xml").write_text(
        _voc(
            f"<object><name>cell</name><pose/>{box}<part><name>head</name>{box}</part></object>"
            f"<object><name>cell</name>{box}<polygon>{flat}</polygon></object>"
            f"<object><name>cell</name><polygon>{nested}</polygon></object>"
            f"<object><name>cell</name></object>"
            f"<object><name>cell</name>{box.replace('30', '10')}</object>"
            f"<object><name> </name>{box}</object>"
            # Corners as they were drawn, and a polygon without area beside its box.
            f"<object><name>cell</name>{box.replace('10', '50')}</object>"
            f"<object><name>cell</name>{box}<polygon><x1>1</x1><y1>1</y1></polygon></object>"
        )
    )
    (folder / "b.xml").write_text(_voc("", "b"))
    (folder / "c.xml").write_text("<annotation>")
    (tmp_path / "JPEGImages").mkdir()
    (tmp_path / "JPEGImages" / "a.jpg").write_bytes(b"")
    image, empty, broken = list(read_voc(tmp_path, ImportOptions()))
    assert isinstance(image, ImportedImage) and isinstance(empty, ImportedImage)
    assert isinstance(broken, LeftOut)
    assert _areas(image)[0] == 200
    assert _areas(image)[1:] == [100, 100, 200, 200]
    reasons = [n.reason for n in image.notes]
    assert reasons == ["malformed_region", "malformed_region", "no_class", "box_only"]
    assert image.path == tmp_path / "JPEGImages" / "a.jpg"
    assert (empty.is_empty, empty.stems, image.size_hw) == (True, ("b",), SIZE_HW)


def test_files_of_voc_in_folders(tmp_path: Path) -> None:
    box = "<bndbox><xmin>10</xmin><ymin>5</ymin><xmax>30</xmax><ymax>15</ymax></bndbox>"
    for split in ("test", "train"):
        (tmp_path / split).mkdir()
        text = _voc(f"<object><name>cell</name>{box}</object>")
        (tmp_path / split / "a.xml").write_text(text)
    images = [e for e in read_voc(tmp_path, ImportOptions()) if isinstance(e, ImportedImage)]
    assert [image.file_name for image in images] == ["test/a.jpg", "train/a.jpg"]
    assert [image.key for image in images] == ["test/a.xml", "train/a.xml"]


def test_no_folder_of_voc_says_so(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(FileFormatError, match="no XML file of Pascal VOC"):
            list(read_voc(path, ImportOptions()))
    (tmp_path / "a.xml").write_text(BOMB)
    (left,) = read_voc(tmp_path, ImportOptions())
    assert isinstance(left, LeftOut)


@pytest.mark.parametrize("order", ["", "x", "1.5", "nan"])
def test_an_order_that_is_none_costs_no_shape(tmp_path: Path, order: str) -> None:
    box = f'<box label="cell" xtl="10" ytl="5" xbr="30" ybr="15" z_order="{order}"/>'
    (image,) = _cvat(tmp_path, box)
    assert isinstance(image, ImportedImage)
    assert _areas(image) == [200]


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ('<tag label="blurry"/>', "no_area"),
        ('<hexagon label="cell" points="1,1;9,1;9,9"/>', "malformed_region"),
        ('<box label="cell" xtl="1" ytl="1" xbr="9" ybr="9" outside="1"/>', "outside_image"),
        ('<skeleton label="cell"><points label="1" points="3,4"/></skeleton>', "no_area"),
    ],
)
def test_what_nnloop_does_not_draw_leaves_no_empty_image(
    tmp_path: Path, shape: str, reason: str
) -> None:
    (image,) = _cvat(tmp_path, shape)
    assert isinstance(image, ImportedImage)
    assert (image.regions, image.is_empty) == ((), False)
    assert [note.reason for note in image.notes] == [reason]


def test_a_mask_of_cvat_that_starts_outside_is_cut(tmp_path: Path) -> None:
    (image,) = _cvat(
        tmp_path, '<mask label="cell" rle="0,200" left="-5" top="-2" width="20" height="10"/>'
    )
    assert isinstance(image, ImportedImage)
    mask = shape_to_mask(image.regions[0].shapes[0], SIZE_HW)
    assert mask.sum() == 15 * 8
    assert mask[:8, :15].all()


def test_tracks_of_a_video_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="tracks of a video"):
        _cvat(tmp_path, "", '<track id="0" label="cell"/>')


def test_a_size_with_a_point_is_one(tmp_path: Path) -> None:
    path = tmp_path / "annotations.xml"
    path.write_text("<annotations><image name='a' width='50.0' height='40.0'/></annotations>")
    (image,) = read_cvat(path, ImportOptions())
    assert isinstance(image, ImportedImage)
    assert image.size_hw == SIZE_HW


def test_turned_boxes_of_voc(tmp_path: Path) -> None:
    box = "<robndbox><cx>20</cx><cy>15</cy><w>20</w><h>10</h><angle>{}</angle></robndbox>"
    objects = [f"<object><name>cell</name>{box.format(a)}</object>" for a in (0, 1.5707963, "x")]
    (tmp_path / "a.xml").write_text(_voc("".join(objects)))
    (image,) = read_voc(tmp_path, ImportOptions())
    assert isinstance(image, ImportedImage)
    flat, upright = (shape_to_mask(r.shapes[0], SIZE_HW) for r in image.regions)
    assert flat.sum() == upright.sum() == 200
    assert flat[15, 12] and not upright[15, 12] and upright[7, 20]
    assert [note.reason for note in image.notes] == ["malformed_region"]
