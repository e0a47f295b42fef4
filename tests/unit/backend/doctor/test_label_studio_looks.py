"""Label Studio from here: where it is not, and keys of every kind."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.doctor.check import Finding, State, fine
from backend.doctor.looks import label_studio as looks
from backend.doctor.patient import Patient
from backend.settings import Settings
from tests.fakes.listener import Listener, listening

LEGACY = "0123456789abcdef0123456789abcdef01234567"


def _token(expires: float | None) -> str:
    claims = {"sub": "1"} | ({"exp": expires} if expires is not None else {})
    parts = ({"alg": "HS256"}, claims, {"sig": 1})
    return ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts
    )


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as found:
        found.answer("/health/", {"status": "UP"})
        found.answer("/api/current-user/whoami", {"id": 3, "email": "a@example.com"})
        found.answer("/api/token/refresh/", {"access": _token(time.time() + 300)})
        yield found


def _patient(folder: Path, url: str, key: str = LEGACY) -> Patient:
    return Patient(Settings.load(data_dir=folder, label_studio_url=url, label_studio_api_key=key))


def _reach(folder: Path, url: str, key: str = LEGACY) -> Finding:
    return looks.reach(_patient(folder, url, key))


def test_it_answers_or_says_why_not(
    tmp_path: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _reach(tmp_path, listener.url).state == State.FINE
    one = _reach(tmp_path, "http://no-such-host.invalid:8080")
    assert one.state == State.WRONG and "knows no host 'no-such-host.invalid'" in one.answer
    assert "docker compose exec web nnloop doctor" in one.fix
    listener.answer("/health/", {"status": "DOWN"})
    assert "does not say that it is up" in _reach(tmp_path, listener.url).answer
    for has_container, words in ((True, "the container itself"), (False, "can't be reached")):
        monkeypatch.setattr(looks, "in_container", lambda told=has_container: told)
        one = _reach(tmp_path, "http://127.0.0.1:1")
        assert one.state == State.WRONG and words in one.answer


def test_a_path_that_is_missing_is_found_by_the_login_page(
    tmp_path: Path, listener: Listener
) -> None:
    listener.answer("/health/", b"<html>", 404)
    listener.answer("/", b"", 302, Location="/studio/user/login/")
    listener.answer("/studio/user/login/", b"<html>")
    one = _reach(tmp_path, listener.url)
    assert one.fix == f"LABEL_STUDIO_URL={listener.url}/studio"
    listener.answer("/", b"<html>")  # another program, that leads nowhere
    one = _reach(tmp_path, listener.url)
    assert one.state == State.WRONG and "404" in one.answer and one.fix


def test_without_address_or_key_the_settings_are_named(tmp_path: Path) -> None:
    one = _reach(tmp_path, "", "")
    assert one.answer == "LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY not set."
    assert one.fix.startswith("LABEL_STUDIO_URL=http")
    one = _reach(tmp_path, "http://localhost:1", _token(1.0))
    assert one.state == State.WRONG and "has expired" in one.answer


KEYS = [
    (LEGACY, State.FINE, "legacy token of user 3"),
    (_token(None), State.FINE, "personal access token of user 3"),
    (_token(time.time() + 90 * 86_400), State.FINE, "personal access token of user 3"),
    (_token(time.time() + 3.2 * 86_400), State.NOTE, "expires in 3 days"),
]


# Names of their own: those made of the tokens would be others in each process.
@pytest.mark.parametrize(
    ("key", "state", "says"), KEYS, ids=["legacy", "for ever", "for months", "for days"]
)
def test_kinds_of_keys(
    tmp_path: Path, listener: Listener, key: str, state: State, says: str
) -> None:
    one = looks.key(_patient(tmp_path, listener.url, key))
    assert (one.state, says in one.answer) == (state, True), one


def test_keys_that_are_refused(tmp_path: Path, listener: Listener) -> None:
    said = "Authentication token no longer valid: legacy token authentication has been disabled"
    listener.answer("/api/current-user/whoami", {"detail": said}, 401)
    one = looks.key(_patient(tmp_path, listener.url))
    assert one.state == State.WRONG and "Legacy tokens are switched off" in one.answer
    listener.answer("/api/current-user/whoami", {"detail": "Invalid token."}, 401)
    one = looks.key(_patient(tmp_path, listener.url))
    assert one.state == State.WRONG and "refuses the legacy token" in one.answer
    assert LEGACY not in one.answer


def test_a_token_that_was_taken_back_is_a_matter_of_the_key(
    tmp_path: Path, listener: Listener
) -> None:
    listener.answer("/api/token/refresh/", {"detail": "Token is blacklisted"}, 401)
    patient = _patient(tmp_path, listener.url, _token(None))
    assert looks.reach(patient) == fine(f"it answers at {listener.url}")
    one = looks.key(patient)
    assert one.state == State.WRONG and "Token is blacklisted" in one.answer
    assert "LABEL_STUDIO_API_KEY" in one.fix


def test_what_the_key_may_not_read(tmp_path: Path, listener: Listener) -> None:
    listener.answer("/api/projects/", {"results": []})
    listener.answer("/api/users/", b"[]")
    assert "sees no project" in looks.rights(_patient(tmp_path, listener.url)).answer
    listener.answer("/api/users/", {"detail": "no"}, 403)
    one = looks.rights(_patient(tmp_path, listener.url))
    assert one.state == State.WRONG and "may not read people" in one.answer
