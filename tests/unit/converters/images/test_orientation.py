"""What turns an image, as measured in Chromium: one rule for sizes and pixels."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from converters.images.image_pixels import read_image
from converters.images.of_tasks import image_size_hw
from converters.images.orientation import orientation_of

STORED = np.full((40, 60), 20, dtype=np.uint8)
STORED[:20, :15] = 240
CORNERS = [(5, 5), (5, -5), (-5, 5), (-5, -5)]
BRIGHT = {1: 0, 2: 1, 3: 3, 4: 2, 5: 0, 6: 1, 7: 3, 8: 2}
"""Orientation -> which corner shows what lies at the stored top left."""

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
    b'syntax-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
    b'tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


def entry(
    orientation: int, *, order: str = ">", kind: int = 3, count: int = 1, start: int = 8
) -> bytes:
    """A TIFF header with one directory of one entry."""
    magic = b"MM\0*" if order == ">" else b"II*\0"
    value = struct.pack(f"{order}HH", orientation, 0)
    directory = struct.pack(f"{order}HHHI", 1, 0x0112, kind, count) + value + bytes(4)
    return magic + struct.pack(f"{order}I", start) + directory


def saved(format_: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(STORED).convert("RGB").save(buffer, format_, **options)
    return buffer.getvalue()


def jpeg(*blocks: bytes) -> bytes:
    plain = saved("JPEG", quality=95)
    parts = [b"Exif\0\0" + block for block in blocks]
    return (
        plain[:2]
        + b"".join(b"\xff\xe1" + struct.pack(">H", len(p) + 2) + p for p in parts)
        + plain[2:]
    )


def png(block: bytes, *, is_late: bool = False) -> bytes:
    plain = saved("PNG")
    named = b"eXIf" + block
    chunk = struct.pack(">I", len(block)) + named + struct.pack(">I", zlib.crc32(named))
    at = plain.rindex(b"IEND") - 4 if is_late else 33
    return plain[:at] + chunk + plain[at:]


def avif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved("AVIF", quality=95, exif=exif)


def shown_as(data: bytes, folder: Path) -> int:
    """The orientation in which a file is read; its size says the same."""
    path = folder / "image"
    path.write_bytes(data)
    pixels: npt.NDArray[np.generic] = read_image(data, 1)
    assert image_size_hw(path, 1) == pixels.shape[:2]
    grey = pixels if pixels.ndim == 2 else pixels[..., 0]
    bright = [index for index, corner in enumerate(CORNERS) if grey[corner] > 128]
    assert len(bright) == 1
    turned = [o for o, corner in BRIGHT.items() if [corner] == bright]
    # The bright part is higher than wide until it is turned by 90 degrees.
    is_high = (pixels.shape[0] > pixels.shape[1]) if turned else False
    return next(o for o in turned if (o >= 5) == is_high)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["jpeg", "jpeg-le", "png", "avif"])
def test_what_browsers_turn(form: str, orientation: int, tmp_path: Path) -> None:
    data = {
        "jpeg": lambda: jpeg(entry(orientation)),
        "jpeg-le": lambda: jpeg(entry(orientation, order="<")),
        "png": lambda: png(entry(orientation)),
        "avif": lambda: avif(orientation),
    }[form]()
    assert shown_as(data, tmp_path) == orientation


def _text_profile() -> PngInfo:
    """ImageMagick's way of keeping EXIF in a PNG."""
    block = b"Exif\0\0" + entry(6)
    lines = block.hex()
    info = PngInfo()
    info.add_text("Raw profile type exif", f"\nexif\n{len(block):8}\n{lines}\n", zip=True)
    return info


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(saved("JPEG", quality=95, xmp=XMP), id="XMP in JPEG"),
        pytest.param(saved("WEBP", lossless=True, xmp=XMP), id="XMP in WebP"),
        pytest.param(saved("AVIF", quality=95, xmp=XMP), id="XMP in AVIF"),
        pytest.param(saved("WEBP", lossless=True, exif=b"Exif\0\0" + entry(6)), id="EXIF in WebP"),
        pytest.param(saved("PNG", pnginfo=_text_profile()), id="raw profile in PNG"),
        pytest.param(png(entry(6), is_late=True), id="behind the pixels of a PNG"),
        pytest.param(png(b"Exif\0\0" + entry(6)), id="JPEG's header in a PNG"),
        pytest.param(jpeg(entry(6, kind=4)), id="a long"),
        pytest.param(jpeg(entry(6, count=2)), id="two values"),
        pytest.param(jpeg(entry(0)), id="zero"),
        pytest.param(jpeg(entry(9)), id="nine"),
        pytest.param(jpeg(entry(6)[:14]), id="cut short"),
        pytest.param(jpeg(entry(6, start=9000)), id="a directory beyond the end"),
        pytest.param(jpeg(b"no TIFF at all"), id="garbage"),
        pytest.param(png(b"garbage"), id="garbage in PNG"),
        pytest.param(jpeg(b""), id="empty"),
        pytest.param(jpeg(entry(1), entry(6)), id="a second block"),
        pytest.param(saved("GIF"), id="GIF"),
        pytest.param(saved("BMP"), id="BMP"),
    ],
)
def test_what_browsers_leave_as_it_is(data: bytes, tmp_path: Path) -> None:
    assert shown_as(data, tmp_path) == 1


def test_an_xmp_packet_beside_the_block_changes_nothing(tmp_path: Path) -> None:
    plain = saved("JPEG", quality=95, xmp=XMP, exif=b"Exif\0\0" + entry(3))
    assert shown_as(plain, tmp_path) == 3


def test_a_jpeg_with_a_second_picture_behind_it(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    picture = Image.fromarray(STORED).convert("RGB")
    picture.save(buffer, "MPO", save_all=True, append_images=[picture], exif=b"Exif\0\0" + entry(6))
    with Image.open(buffer) as image:
        assert image.format == "MPO"
    assert shown_as(buffer.getvalue(), tmp_path) == 6


def test_a_tiff_is_turned_by_its_own_tag(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert shown_as(saved("TIFF", exif=exif), tmp_path) == 6


@given(st.binary(max_size=60))
def test_no_block_breaks_an_image(block: bytes) -> None:
    with Image.open(io.BytesIO(jpeg(b"MM\0*" + block))) as image:
        assert 1 <= orientation_of(image) <= 8
