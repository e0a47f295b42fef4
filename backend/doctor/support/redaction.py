"""Redactor: takes out of a text what is nobody's business, by what it looks like and by value.

By value: each known secret in every form in which programs write it (escaped for JSON, HTML or an
address, as base64 at any place within other bytes, in hexadecimal). By its looks: what is a secret
whoever it belongs to (tokens, user and password of an address, what stands behind its ``?``,
addresses of people).
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal
from urllib.parse import quote, quote_plus, unquote_plus

STARS = "***"

SHORTEST = 4
"""A secret of fewer characters is taken out where it stands alone, as a name is."""

SHORTEST_NUMBER = 8
"""The same of a secret of digits, which would be a part of any number."""

_SHORTEST_ENCODED = 6
"""Of what is left of a secret in the middle of base64, whatever stands before and after it."""

_IMAGE = (
    r"(?:png|jpe?g|jpe|jfif|tiff?|bmp|gif|webp|avif|jp2|j2k|dcm|dicom|nii(?:\.gz)?|nrrd|mh[ad])"
)

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # A private key, whatever is in it.
    (re.compile(r"-----BEGIN [^-]+-----.*?(?:-----END [^-]+-----|\Z)", re.DOTALL), STARS),
    # A JSON web token: header, claims, signature.
    (re.compile(r"\beyJ[\w-]{5,4000}(?:\.|%2[eE])[\w-]{5,4000}(?:(?:\.|%2[eE])[\w-]*)?"), STARS),
    # What logs in: a scheme and its value.
    (
        re.compile(
            r"\b(Basic|Bearer|Token|Digest)(?:\s+|%20|\+)(?=\S{20}|\S*[\d=])[\w.~+/%=-]{8,}",
            re.IGNORECASE,
        ),
        r"\1 ***",
    ),
    # User and password of an address.
    (re.compile(r"(://|%3[aA]%2[fF]%2[fF])[^\s\"'<>]{0,500}(?:@|%40)"), r"\1***@"),
    # What stands behind the ? of an address may be signed.
    (re.compile(r"(://[^\s\"'<>?]{1,2000}\?)[^\s\"'<>]+"), r"\1***"),
    (re.compile(r"(/data/local-files/\?d=)[^\s\"'<>&]+"), r"\1***"),
    (
        re.compile(
            r"\b((?:X-Amz|X-Goog|X-Ms)-[\w-]+|Signature|AWSAccessKeyId|sig|se|sp|sv)=[^&\s\"']+",
        ),
        r"\1=***",
    ),
    # A name that says so, and its value: password=..., "api_key": "...", TOKEN: ...
    (
        re.compile(
            r"((?:\b|_)(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|access[_-]?key|"
            r"credential|authorization|cookie|csrf|sessionid)\w{0,30}[\"']?\s{0,4}[=:]\s{0,4}[\"']?)"
            r"(?!\s|\*\*\*|$)[^\s\"',;&}]+",
            re.IGNORECASE,
        ),
        r"\1***",
    ),
    # A legacy token of Label Studio's, or another key in hexadecimal.
    (re.compile(r"\b[0-9a-fA-F]{40}\b"), STARS),
    # Somebody's address.
    (
        re.compile(
            r"[\w.!#$&'*+/=?^`{|}~-]{1,64}(?:@|%40|\\u0040|&#64;)[\w-]{1,63}(?:\.[\w-]{1,63})+"
        ),
        STARS,
    ),
    # Somebody's home.
    (re.compile(r"(/home/|/Users/|\\Users\\)[^/\\\s\"':,;)]+"), r"\1***"),
)

# In quotes a name may have spaces.
_QUOTED_IMAGE = re.compile(rf"(['\"])[^'\"\n]{{0,300}}?\.({_IMAGE})\1", re.IGNORECASE)
_IMAGE_END = re.compile(rf"\.({_IMAGE})\b", re.IGNORECASE)
_IMAGE_PATH = re.compile(r"(/data/(?:upload|local-files)/)[^\s'\"<>]+")
_WORD = re.compile(r"[^\s'\"<>()\[\]{},;]+")

# Runs that may be base64 or an escaped text.
_CODED = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")
_RUN = re.compile(r"[^\s\"'<>]+")
_NORMAL: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")

_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|&#?\w{1,10};")


class Redactor:
    """Takes secrets out of texts.

    Args:
        secrets: Values that are nowhere to be seen: keys, passwords, addresses of people.
        names: Words that are nowhere to be seen by themselves: names of people.
        images: Names of images that are nowhere to be seen.
        accounts: Names of users of this machine, which stand in paths.
        home: The user's own folder, shown as ``~``.
        hides_images: Whether whatever looks like the name of an image goes, too.
    """

    def __init__(
        self,
        secrets: Iterable[str] = (),
        names: Iterable[str] = (),
        images: Iterable[str] = (),
        accounts: Iterable[str] = (),
        *,
        home: str = "",
        hides_images: bool = False,
    ) -> None:
        values = {one.strip() for one in secrets if one and one.strip()}
        words = {one.strip() for one in names if one and len(one.strip()) > 1}
        # Within other words and numbers they would be found everywhere.
        alone = {
            one for one in values if len(one) < (SHORTEST_NUMBER if one.isdigit() else SHORTEST)
        }
        words |= alone
        self._values = sorted(values - alone, key=len)[::-1]
        self._words = sorted(words, key=len)[::-1]
        self._images = frozenset(one for one in images if len(one) >= SHORTEST)
        self._hides_images = hides_images or bool(self._images)
        names_in_paths = "|".join(map(re.escape, sorted(accounts, key=len, reverse=True)))
        self._in_paths = re.compile(rf"(?<=/)(?:{names_in_paths})(?![^/\s'\":,.;)])")
        self._has_accounts = bool(names_in_paths)
        self._home = re.compile(rf"{re.escape(home)}(?![^/\s'\":,;)])") if home else None
        # The longest first: one may be a part of another.
        self._forms = _longest_first(form for one in self._values for form in forms_of(one))
        self._word_forms = _longest_first(
            form for one in self._words for form in _escaped_forms(one)
        )

    def __repr__(self) -> str:
        return "Redactor()"

    def text(self, text: str) -> str:
        """The text without what is nobody's business."""
        text = self._plain(text)
        text = _RUN.sub(self._unless(_unescaped), text)
        return _CODED.sub(self._unless(_decoded), text)

    def value(self, value: Any) -> Any:
        """A JSON value in which every text is without it; keys are nnloop's, and keep words."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self._secret(str(name)): self.value(one) for name, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(one) for one in value]
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value if self.text(str(value)) == str(value) else STARS
        return value

    def is_clean(self, text: str) -> bool:
        """Whether no known secret is left in a text, in any form; names are not looked for."""
        return not any(form in text for form in self._forms)

    def _secret(self, text: str) -> str:
        """The text without known secrets and what looks like one."""
        # One by one: a pattern of hundreds of words would try each at every letter.
        for form in self._forms:
            if form in text:
                text = text.replace(form, STARS)
        return _by_looks(text)

    def _plain(self, text: str) -> str:
        if self._home is not None:
            text = self._home.sub("~", text)
        if self._has_accounts:
            text = self._in_paths.sub(STARS, text)
        text = self._secret(text)
        for form in self._word_forms:
            if form in text:
                text = _alone(form).sub(STARS, text)
        if self._hides_images:
            text = _QUOTED_IMAGE.sub(r"\1***.\2\1", text)
            text = _IMAGE_PATH.sub(r"\1***", text)
            text = _WORD.sub(self._without_image, text)
        return text

    def _tells(self, text: str) -> bool:
        """Whether a decoded text says something that is to be hidden."""
        return (
            any(one in text for one in self._values)
            or any(one in text and _alone(one).search(text) for one in self._words)
            or _by_looks(text) != text
        )

    def _without_image(self, found: re.Match[str]) -> str:
        word = found.group()
        if ends := list(_IMAGE_END.finditer(word)):
            return f"{STARS}{word[ends[-1].start() :]}"
        bare = word.strip(".:!?*|=&#\ufffd")
        is_image = bare in self._images or bare.rpartition("/")[2] in self._images
        return STARS if is_image else word

    def _unless(self, decodings: Callable[[str], Iterator[str]]) -> Callable[[re.Match[str]], str]:
        """What is put in a run's place: stars where something is to be hidden in what it says."""

        def replaced(found: re.Match[str]) -> str:
            run = found.group()
            for said in decodings(run):
                if said != run and self._tells(said):
                    return STARS
            return run

        return replaced


def forms_of(secret: str) -> Iterator[str]:
    """Every form in which a secret may stand in a text."""
    yield from _escaped_forms(secret)
    for data in dict.fromkeys((secret.encode(), secret.encode("utf-16-le"))):
        yield data.hex()
        yield data.hex().upper()
        yield from _base64_forms(data)


def _escaped_forms(text: str) -> Iterator[str]:
    # An umlaut is one sign, or two as in names of files of a Mac.
    for one in dict.fromkeys((text, *(unicodedata.normalize(form, text) for form in _NORMAL))):
        yield from _escaped(one)


def _escaped(text: str) -> Iterator[str]:
    data = text.encode("utf-8", "surrogateescape")
    plain = {
        text,
        json.dumps(text)[1:-1],
        json.dumps(text, ensure_ascii=False)[1:-1],
        repr(text)[1:-1],
        html.escape(text),
        html.escape(text, quote=False),
        text.encode("ascii", "xmlcharrefreplace").decode(),
        text.encode("ascii", "backslashreplace").decode(),
        # Bytes that were printed, and bytes that were read as what they are not.
        repr(data)[2:-1],
        data.decode("latin-1"),
        data.decode("cp1252", "replace"),
    }
    for one in list(plain):
        # JSON within JSON, as a body in a log.
        plain.add(json.dumps(one)[1:-1])
        plain.add(one.replace("/", "\\/"))
    quoted = {quote(text), quote(text, safe=""), quote_plus(text)}
    quoted |= {quote(one, safe="") for one in quoted}
    yield from sorted(plain | quoted | {_lower_escapes(one) for one in quoted})


def _lower_escapes(text: str) -> str:
    return re.sub(r"%[0-9A-F]{2}", lambda found: found.group().lower(), text)


def _base64_forms(data: bytes) -> Iterator[str]:
    """The letters that base64 makes of it, whatever stands before and after it."""
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + data).decode()
        # Letters that also depend on what is beside it are left out.
        first = {0: 0, 1: 2, 2: 3}[before]
        n_sure = (before + len(data)) * 8 // 6
        core = whole[first:n_sure]
        if len(core) >= _SHORTEST_ENCODED:
            yield core
            yield core.replace("+", "-").replace("/", "_")


def _longest_first(forms: Iterable[str]) -> list[str]:
    return sorted({one for one in forms if one}, key=lambda one: (-len(one), one))


def _alone(form: str) -> re.Pattern[str]:
    """A text where it stands as a word, not within another."""
    return re.compile(rf"(?<![^\W_]){re.escape(form)}(?![^\W_])")


def _by_looks(text: str) -> str:
    for pattern, stars in _PATTERNS:
        text = pattern.sub(stars, text)
    return text


def _unescaped(run: str) -> Iterator[str]:
    if not _ESCAPE.search(run):
        return
    text = run
    for _ in range(3):
        text = html.unescape(unquote_plus(text))
        yield text
    try:
        yield str(json.loads(f'"{run}"'))
    except ValueError:
        return


def _decoded(run: str) -> Iterator[str]:
    """What a run says as base64, wherever in it that begins."""
    plain = run.rstrip("=").replace("-", "+").replace("_", "/")
    for first in range(4):
        part = plain[first:]
        part = part[: len(part) - (1 if len(part) % 4 == 1 else 0)]
        try:
            data = base64.b64decode(part + "=" * (-len(part) % 4))
        except (ValueError, binascii.Error):
            continue
        text = data.decode("utf-8", "replace")
        # Of letters by chance few are text.
        if sum(char.isprintable() and char != "�" for char in text) > 0.8 * len(text):
            yield text
