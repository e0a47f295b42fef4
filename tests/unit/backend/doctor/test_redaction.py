from __future__ import annotations

import base64
import html
import json
import re
import time
import unicodedata
import urllib.parse
from collections.abc import Callable

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from backend.doctor.support.redaction import SHORTEST_NUMBER, Redactor

SECRETS = ["pässwört/+ 1&2", "s3cr3t-V@lue", "token_with=signs%", "back\\slash\"quote'x", "kurz1"]

ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": lambda text: text,
    "quoted": lambda text: urllib.parse.quote(text),
    "quoted wholly": lambda text: urllib.parse.quote(text, safe=""),
    "quoted as a form": lambda text: urllib.parse.quote_plus(text),
    "quoted in small letters": lambda text: urllib.parse.quote(text, safe="").replace("%2F", "%2f"),
    "quoted twice": lambda text: urllib.parse.quote(urllib.parse.quote(text, safe=""), safe=""),
    "JSON": json.dumps,
    "JSON with letters": lambda text: json.dumps(text, ensure_ascii=False),
    "JSON in JSON": lambda text: json.dumps(json.dumps({"body": text})),
    "repr": repr,
    "HTML": html.escape,
    "references": lambda text: text.encode("ascii", "xmlcharrefreplace").decode(),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 of addresses": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64 with a user": lambda text: base64.b64encode(f"user:{text}".encode()).decode(),
    "base64 in the middle": lambda text: base64.b64encode(f"ab{text}cd".encode()).decode(),
    "base64 without signs": lambda text: base64.b64encode(text.encode()).decode().rstrip("="),
    "hexadecimal": lambda text: text.encode().hex(),
    "in an address": lambda text: f"redis://:{urllib.parse.quote(text, safe='')}@host:6379/0",
    "in an address as it is": lambda text: f"postgresql://me:{text}@host/db",
}

UNSEEN = ("hexadecimal", "JSON in JSON")
"""What ``_is_told`` does not read."""


def _without_escapes(text: str) -> str:
    text = re.sub(r"\\u([0-9a-f]{4})|\\x([0-9a-f]{2})", _letter, text)
    return re.sub(r"\\(.)", r"\1", text)


def _letter(found: re.Match[str]) -> str:
    return chr(int(found.group(1) or found.group(2), 16))


def _is_told(secret: str, text: str) -> bool:
    """Whether a text says the secret to somebody who tries everything."""
    tries = [text, html.unescape(text), _without_escapes(text)]
    for _ in range(3):
        tries.append(urllib.parse.unquote_plus(tries[-1]))
        tries.append(urllib.parse.unquote(tries[0]))
    for word in text.replace('"', " ").replace("'", " ").replace("/", " ").split():
        for first in range(4):
            for letters in (word[first:], word[first:].replace("-", "+").replace("_", "/")):
                cut = letters[: len(letters) // 4 * 4]
                try:
                    tries.append(base64.b64decode(cut).decode("utf-8", "ignore"))
                except ValueError:
                    continue
    core = base64.b64encode(secret.encode()).decode().rstrip("=")[:-1]
    return any(secret in one or secret in json.dumps(one) for one in tries) or core in text


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("secret", SECRETS)
def test_a_known_secret_is_found_in_every_encoding(secret: str, encoding: str) -> None:
    redactor = Redactor([secret])
    coded = ENCODINGS[encoding](secret)
    # Whoever looks for it sees it before.
    assert encoding in UNSEEN or _is_told(secret, f"before {coded} after")
    for line in (f"before {coded} after", f'{{"a": "{coded}"}}', f"x={coded}&y=1", coded):
        said = redactor.text(line)
        assert not _is_told(secret, said), said
        assert coded not in said
        assert "***" in said
        assert redactor.is_clean(said)


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=6, max_size=40),
    st.sampled_from(sorted(ENCODINGS)),
    st.text(st.characters(codec="ascii", categories=["L", "N"]), max_size=8),
)
@settings(max_examples=80)
@example("00000000", "base64 in the middle", "")
def test_any_secret_is_found_wherever_it_stands(secret: str, encoding: str, beside: str) -> None:
    assume(not secret.isdigit() or len(secret) >= SHORTEST_NUMBER)
    redactor = Redactor([secret])
    coded = ENCODINGS[encoding](secret)
    said = redactor.text(f"{beside} {coded} {beside}")
    assert coded not in said
    assert redactor.is_clean(said)


def test_nothing_of_a_secret_is_known_and_it_goes_by_its_looks() -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTYifQ.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"
    lines = {
        f"Authorization: Bearer {token}": token,
        f"got {token} back": token,
        "Authorization: Token 0123456789abcdef0123456789abcdef01234567": "0123456789abcdef",
        "Authorization: Basic bm5sb29wOmdlaGVpbQ==": "bm5sb29wOmdlaGVpbQ",
        "key 0123456789abcdef0123456789abcdef01234567.": "0123456789abcdef",
        "redis://:word@host:6379/0": "word",
        "postgresql+psycopg://anna:pass/w0rd@db.lab/nnloop": "pass/w0rd",
        "https://b.s3.example/a.png?X-Amz-Signature=abc&X-Amz-Date=1": "abc",
        "s3://bucket/a.png?sig=abcdef": "abcdef",
        "GET /x?X-Amz-Credential=AKIA123 HTTP": "AKIA123",
        "anna.mueller@klinik.example": "klinik",
        "anna.mueller%40klinik.example": "klinik",
        base64.b64encode(b"from anna@klinik.example").decode(): "YW5uYUBrbGluaWsuZXhhbXBsZQ",
        '{"password": "hunter2"}': "hunter2",
        "'api_key': 'abc-def'": "abc-def",
        "SECRET_KEY=abc": "=abc",
        "csrftoken=xyz; sessionid=uvw": "xyz",
        "open /home/annam/data": "annam",
        "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----": "MIIE",
    }
    for line, secret in lines.items():
        said = Redactor().text(line)
        assert secret not in said and "***" in said, said


def test_what_gives_nothing_away_stays() -> None:
    for line in (
        "nnloop connect 3 --min-annotations 12",
        "Legacy tokens are switched off in Label Studio, and LABEL_STUDIO_API_KEY is one.",
        "LABEL_STUDIO_URL=http://label-studio:8080",
        "Basic authentication is asked for; the token of the Account page",
        "chmod -R g-rwx,o-rwx /srv/nnloop",
        "curl http://10.0.0.1:9090/health; then: nnloop connect 3",
        "SSRF_PROTECTION_ENABLED=false ML_BLOCK_LOCAL_IP=false",
        "nnloop-v12 was trained with 2d_fullres of nnUNetPlans in 12.5 s",
        "2026-11-28 13:19:19,123 INFO backend.pipeline.sync.reading: 250 tasks",
        "Traceback (most recent call last): File torch/nn/modules/module.py, line 1511",
    ):
        assert Redactor(["s3cr3t"], ["Anna"]).text(line) == line


@pytest.mark.parametrize("secret", ["pässwört/+ 1&2", "Grüße-aus-Köln"])
@pytest.mark.parametrize(
    "written",
    [
        lambda text: repr(text.encode()),
        lambda text: json.dumps({"body": repr(text.encode())}),
        lambda text: text.encode().decode("latin-1"),
        lambda text: unicodedata.normalize("NFD", text),
        lambda text: urllib.parse.quote(unicodedata.normalize("NFD", text)),
    ],
    ids=["bytes", "bytes in JSON", "read as Latin 1", "in two signs", "in two signs, quoted"],
)
def test_letters_that_are_no_ascii_hide_nothing(secret: str, written: Callable[[str], str]) -> None:
    line = f"said {written(secret)} to it"
    assert written(secret).strip("b'\"") not in Redactor([secret]).text(line)
    assert not Redactor([secret]).is_clean(line)
    assert written(secret).strip("b'\"") not in Redactor([], [secret]).text(line)


def test_names_go_as_words_and_not_within_others() -> None:
    redactor = Redactor([], ["Anna", "Li", "Jürgen Groß", "Groß"])
    said = redactor.text("Anna, Li_2 and J\\u00fcrgen Gro\\u00df; Annabelle likes Limits; anna")
    assert said == "***, ***_2 and ***; Annabelle likes Limits; anna"


def test_names_of_images_go_where_that_is_asked() -> None:
    line = (
        "Task 7: the image '/data/upload/3/ab-Meier left.png' and s3://b/CT 1/meier.nii.gz, IM0001"
    )
    redactor = Redactor(images=["IM0001"], hides_images=True)
    said = redactor.text(line)
    assert "eier" not in said and "IM0001" not in said and ".png" in said and "Task 7" in said
    assert Redactor().text(line) == line


def test_home_is_a_tilde_and_accounts_go_from_paths_alone() -> None:
    redactor = Redactor(accounts=["store", "annam"], home="/home/annam")
    assert redactor.text("chmod go-rwx /home/annam/.local/x") == "chmod go-rwx ~/.local/x"
    said = redactor.text("the store in /srv/store/nnloop, /mnt/annam: /home/annamaria, /store2")
    assert said == "the store in /srv/***/nnloop, /mnt/***: /home/***, /store2"


def test_values_and_their_names() -> None:
    value = {"a": ["s3cr3t", 1, None, {"key s3cr3t": 2.5}], "b": True, "Anna": "Anna"}
    said = {"a": ["***", 1, None, {"key ***": 2.5}], "b": True, "Anna": "***"}
    assert Redactor(["s3cr3t"], ["Anna"]).value(value) == said


def test_a_password_of_digits_goes_where_it_stands_alone() -> None:
    redactor = Redactor(["1234"])
    assert redactor.text("pass 1234, 51234 tasks, 1234.5 s") == "pass ***, 51234 tasks, ***.5 s"
    assert redactor.value({"n": 1234, "m": 51234, "t": True}) == {"n": "***", "m": 51234, "t": True}
    assert redactor.is_clean("51234")


def test_no_secret_at_all() -> None:
    redactor = Redactor(["", "  "], ["", "x"])
    assert redactor.text("x and y") == "x and y"
    assert redactor.is_clean("x") and "***" not in repr(redactor)


def test_long_lines_take_no_long_time() -> None:
    """A log may hold an image as text, or megabytes without a space."""
    redactor = Redactor(["s3cr3t-value", "öther"], ["Anna"], ["IM1"], hides_images=True)
    for line in ("iVBORw0KGgo" * 6_000, "a-b.c/" * 10_000, "%41" * 15_000, "://a?" * 8_000):
        began = time.process_time()
        redactor.text(line)
        assert time.process_time() - began < 3.0, line[:10]
