"""Spoils inputs: by structure where it is known (JSON, zip, gzip, text), and by bytes."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import random
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

_RAW = "\x02raw:"
"""How a text begins that stands in JSON without quotes: numbers that Python would not write."""

_MOST = 2**16
"""Longest text that is put in, in characters."""

_TEXTS = ("\0", "\ud800", "\udfff\ud800", "a\nb\r", "\x1b[31m", "\u202e", "é")
_ODD = (b"\xff\xfe", b"\xef\xbb\xbf", b"\0\0\0\0", b"\x80", b"\r", b'"')
_PATHS = ("..", "../../x", "/etc/passwd", "C:\\x", "~root", "%00", "data:,", "http://[a")
_WORD = re.compile(rb"[\w.+-]+|\s+|.", re.DOTALL)
_RAW_IN_JSON = re.compile(r'"\\u0002raw:([^"]*)"')


def mutated(data: bytes, random_: random.Random, *, others: tuple[bytes, ...] = ()) -> bytes:
    """Another input, made of one.

    Args:
        data: The input.
        random_: Where chance comes from; the same gives the same.
        others: Inputs of which parts may be put in.
    """
    for _ in range(random_.choice((1, 1, 1, 2, 3, 6))):
        ways = [_by_bytes]
        if data[:1] in b'{["' and data:
            ways += [_by_json] * 4
        elif data[:4] in (b"PK\3\4", b"PK\5\6"):
            ways += [_by_zip] * 3
        elif data[:2] == b"\x1f\x8b":
            ways += [_by_gzip] * 2
        elif _is_text(data):
            ways += [_by_words] * 3
        data = random_.choice(ways)(data, random_)
    if others and random_.random() < 0.05:
        other = random_.choice(others)
        cut = random_.randrange(len(data) + 1)
        data = data[:cut] + other[random_.randrange(len(other) + 1) :]
    return data


def _is_text(data: bytes) -> bool:
    return b"\0" not in data[:200] and bool(data)


# Values that parsers stumble over.


def _deep(n: int, random_: random.Random) -> Any:
    value: Any = []
    is_list = random_.random() < 0.5
    for _ in range(n):
        value = [value] if is_list else {"a": value}
    return value


def _nasty(random_: random.Random) -> Any:
    makers: tuple[Callable[[], Any], ...] = (
        lambda: random_.choice([None, True, False, 0, 1, -1, 0.5, "", [], {}, [[]], [{}]]),
        lambda: random_.choice([255, 256, 2**31, -(2**31), 2**32, 2**53, 2**63, -(2**63), 2**64]),
        lambda: random_.choice([10**30, 10**400, 1e6, 1e9, 1e17, 1e308, 5e-324, -1e-9]),
        lambda: (
            _RAW
            + random_.choice(
                ("1e999", "-1e999", "NaN", "-Infinity", "-0", "-0.0", "0e0", "9" * 5000, "1E400")
            )
        ),
        lambda: random_.choice(_TEXTS),
        lambda: random_.choice(["0", "1", "-1", "1e999", "nan", "inf", "٣", "²", "0x10", "1_000"]),
        lambda: random_.choice(_PATHS),
        lambda: random_.choice("ab/%[{\\\u0301😀") * random_.choice((300, 5000, _MOST)),
        lambda: _deep(random_.choice((2, 20, 70, 300, 900)), random_),
        lambda: [random_.choice([0, "", None])] * random_.choice((2, 3, 1000)),
        lambda: random_.randrange(-300, 300),
        lambda: random_.uniform(-200, 200),
    )
    return random_.choice(makers)()


def _by_json(data: bytes, random_: random.Random) -> bytes:
    try:
        value = json.loads(data)
        places = list(_places_in(value, 0))
    except (ValueError, RecursionError):
        return _by_bytes(data, random_)
    if not places:
        return json.dumps(_nasty(random_)).encode()
    container, key = random_.choice(places)
    way = random_.random()
    if way < 0.45:
        container[key] = _nasty(random_)
    elif way < 0.55:
        del container[key]
    elif way < 0.7:  # what stands elsewhere
        other, other_key = random_.choice(places)
        with contextlib.suppress(LookupError):
            container[key] = json.loads(json.dumps(other[other_key]))
    elif way < 0.78:
        old = container[key]
        container[key] = random_.choice(([old], {"a": old}, str(old)))
    elif way < 0.86 and isinstance(container, dict):
        name = _nasty(random_)
        container[name if isinstance(name, str) else str(key) + "x"] = container.pop(key)
    elif way < 0.93 and isinstance(container, list):
        container.extend([container[key]] * random_.choice((1, 2, 500)))
    else:
        return _with_key_twice(json.dumps(value), random_)
    try:
        text = json.dumps(value)
    except (ValueError, RecursionError):
        return data
    return _RAW_IN_JSON.sub(lambda found: found[1], text).encode()


def _places_in(value: Any, depth: int) -> Any:
    if depth > 60:
        return
    keys: Any = value if isinstance(value, dict) else ()
    for key in range(len(value)) if isinstance(value, list) else keys:
        yield value, key
        yield from _places_in(value[key], depth + 1)


def _with_key_twice(text: str, random_: random.Random) -> bytes:
    members = list(re.finditer(r'"[^"\\]*": ', text))
    if not members:
        return text.encode()
    found = random_.choice(members)
    again = found[0] + json.dumps(_nasty(random_)) + ", "
    text = text[: found.start()] + again + text[found.start() :]
    return _RAW_IN_JSON.sub(lambda one: one[1], text).encode()


def _by_zip(data: bytes, random_: random.Random) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = [(info, archive.read(info)) for info in archive.infolist()]
    except Exception:  # noqa: BLE001 - it is spoiled already
        return _by_bytes(data, random_)
    if not entries:
        return _by_bytes(data, random_)
    at = random_.randrange(len(entries))
    info, content = entries[at]
    way = random_.random()
    if way < 0.45:
        entries[at] = info, mutated(content, random_)
    elif way < 0.55:
        del entries[at]
    elif way < 0.65:
        entries.append((info, mutated(content, random_)))
    elif way < 0.75:
        named = zipfile.ZipInfo("x", info.date_time)
        before = random_.choice(["../", "/", "a/../../", "C:\\", "\0", "\\", "é", "./", ""])
        named.filename = before + info.filename
        entries[at] = named, content
    elif way < 0.83:
        link = zipfile.ZipInfo(info.filename, info.date_time)
        link.external_attr = 0o120777 << 16
        entries[at] = link, b"/etc/passwd"
    elif way < 0.9:  # much of nothing
        entries[at] = info, b"\0" * random_.choice((10**6, 2 * 10**7))
    else:
        entries[at] = info, b""
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for info, content in entries:
                with contextlib.suppress(Exception):  # a name that no zip takes
                    archive.writestr(info, content, random_.choice((0, 8, 8, 8, 12)))
    made = bytearray(out.getvalue())
    if random_.random() < 0.3:  # entries that overlap, lie about their size, are locked
        starts = [one.start() for one in re.finditer(b"PK\x01\x02", bytes(made))]
        if starts:
            start, (offset, kind) = random_.choice(starts), random_.choice(_ENTRY_FIELDS)
            with contextlib.suppress(struct.error):
                value = random_.choice((0, 1, 9, 98, 2**16 - 1, 2**31, 2**32 - 1))
                struct.pack_into(kind, made, start + offset, value % _ends(kind))
    return bytes(made)


def _ends(kind: str) -> int:
    return 1 << 8 * struct.calcsize(kind)


_ENTRY_FIELDS = (
    *((6, "<H"), (8, "<H"), (10, "<H"), (16, "<L")),
    *((20, "<L"), (24, "<L"), (28, "<H"), (42, "<L")),
)
"""Places in an entry of a zip's directory: version, flags, method, CRC, sizes, name, offset."""


def _by_gzip(data: bytes, random_: random.Random) -> bytes:
    try:
        inside = zlib.decompressobj(wbits=31).decompress(data, 2**22)
    except zlib.error:
        return _by_bytes(data, random_)
    return gzip.compress(mutated(inside, random_), 1, mtime=0)


def _by_words(data: bytes, random_: random.Random) -> bytes:
    words = _WORD.findall(data[:_MOST])
    if not words:
        return _by_bytes(data, random_)
    at = random_.randrange(len(words))
    way = random_.random()
    if way < 0.5:
        word = _nasty(random_)
        text = word.removeprefix(_RAW) if isinstance(word, str) else json.dumps(word)[:_MOST]
        words[at] = text.encode("utf-8", "surrogatepass")
    elif way < 0.65:
        del words[at]
    elif way < 0.8:
        words[at] = random_.choice(words)
    else:
        end = min(len(words), at + random_.randrange(1, 30))
        words[at:at] = words[at:end] * random_.choice((1, 1, 2, 40, 300))
    return b"".join(words)


def _by_bytes(data: bytes, random_: random.Random) -> bytes:
    made = bytearray(data)
    at = random_.randrange(len(made) + 1)
    way = random_.randrange(9)
    if way == 0 and at < len(made):
        made[at] ^= 1 << random_.randrange(8)
    elif way == 1 and at < len(made):
        made[at] = random_.choice((0, 1, 127, 128, 255, random_.randrange(256)))
    elif way == 2:
        del made[at : at + random_.choice((1, 2, 4, 100))]
    elif way == 3:
        made[at:at] = random_.randbytes(random_.choice((1, 2, 4, 30)))
    elif way == 4:
        del made[at:]
    elif way == 5:
        made[at:at] = made[at : at + random_.choice((4, 30, 300))] * random_.choice((1, 2, 50))
    elif way == 6 and len(made) > 8:  # a number of two or four bytes
        kind = random_.choice(("<H", ">H", "<L", ">L"))
        value = random_.choice((0, 1, 255, 256, 32767, 65535, 100_000, 2**31 - 1, 2**31, 2**32 - 1))
        at = random_.randrange(len(made) - 4)
        struct.pack_into(kind, made, at, value % _ends(kind))
    elif way == 7 and len(made) > 2:
        start, end = sorted((at, random_.randrange(len(made) + 1)))
        part = bytes(made[start:end])
        to = random_.randrange(len(made))
        made[to : to + len(part)] = part
    else:
        made[at:at] = random_.choice(_ODD)
    return bytes(made)
