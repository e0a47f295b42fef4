"""Names of image files: what Label Studio makes of the name of an upload, and which are the same.

Label Studio stores an upload under eight hexadecimal digits, a dash and Django's valid form of the
name: 'my scan (left) 1.png' becomes '0a1b2c3d-my_scan_left_1.png'.
"""

from __future__ import annotations

import html
import re
import unicodedata

_DROPPED = re.compile(r"[^-\w.]")
"""What Django leaves out of a name. A combining mark is no letter: a name in NFD (macOS) loses its
accents where the same name in NFC keeps them."""


_PREFIX = re.compile(r"^[0-9a-f]{8}-(?=.)")


def without_prefix(name: str) -> str:
    """The name of an upload as people know it: without Label Studio's eight digits and dash.

    >>> without_prefix("0a1b2c3d-scan.png")
    'scan.png'
    """
    return _PREFIX.sub("", name)


def stored_name(name: str) -> str:
    """What Label Studio stores an upload of this name under, without its prefix of 8 hex digits.

    Only the last part of a path counts, as for the server. Names so long that Label Studio cuts
    them and adds random letters (100 characters with folder and prefix) can't be foretold.

    >>> stored_name("scans/my scan (left) 1.png")
    'my_scan_left_1.png'
    """
    base = html.unescape(name).rsplit("/", 1)[-1].rsplit("\\", 1)[-1]
    printable = "".join(char for char in base if char.isprintable())
    # The prefix stands before it when the name is stripped: a leading space is one inside.
    return _DROPPED.sub("", printable.rstrip().replace(" ", "_"))


def same_name_key(name: str) -> str:
    r"""Equal for names that are one name to a person: NFC, in the form Label Studio stores.

    >>> same_name_key("gro\u0308sse 1.png") == same_name_key("gr\u00f6sse_1.png")
    True
    """
    return stored_name(unicodedata.normalize("NFC", name))


def name_keys(name: str) -> tuple[str, ...]:
    """Keys (as ``same_name_key`` gives) that a stored copy of the file may have, likeliest first.

    The second is that of an upload whose name was in NFD.
    """
    decomposed = stored_name(unicodedata.normalize("NFD", name))
    return tuple(dict.fromkeys((same_name_key(name), decomposed)))
