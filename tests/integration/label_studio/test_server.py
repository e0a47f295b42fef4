from collections.abc import Iterator

import httpx
import pytest

from backend.label_studio import LabelStudioClient
from backend.label_studio.login import PersonalLogin
from backend.stack.label_studio_server import LabelStudioServer
from domain.errors import LabelStudioAuthError


def test_says_its_health_version_and_user(
    client: LabelStudioClient, label_studio: LabelStudioServer
) -> None:
    assert client.health()
    assert client.version() == "1.23.2"
    assert client.whoami().email == label_studio.credentials.email


def test_a_wrong_key_is_refused_with_a_remedy(label_studio: LabelStudioServer) -> None:
    with (
        LabelStudioClient(label_studio.url, "1" * 40) as client,
        pytest.raises(LabelStudioAuthError, match="401") as caught,
    ):
        client.whoami()
    assert "LABEL_STUDIO_API_KEY" in caught.value.remedy
    assert "1" * 40 not in str(caught.value)


def _revoke(label_studio: LabelStudioServer, token: str) -> httpx.Response:
    return httpx.post(
        f"{label_studio.url}/api/token/blacklist/",
        headers={"Authorization": f"Token {label_studio.credentials.token}"},
        json={"refresh": token},
    )


@pytest.fixture
def token(label_studio: LabelStudioServer) -> Iterator[str]:
    """A personal access token; Label Studio gives a user one at a time."""
    answer = httpx.post(
        f"{label_studio.url}/api/token/",
        headers={"Authorization": f"Token {label_studio.credentials.token}"},
        json={},
    )
    made = str(answer.json()["token"])
    yield made
    _revoke(label_studio, made)


def test_a_personal_access_token_works_and_a_spoilt_one_is_refused(
    label_studio: LabelStudioServer, token: str
) -> None:
    with LabelStudioClient(label_studio.url, token) as client:
        assert client.whoami().email == label_studio.credentials.email
        assert client.list_projects() == client.list_projects()
    spoilt = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
    with (
        LabelStudioClient(label_studio.url, spoilt) as client,
        pytest.raises(LabelStudioAuthError) as caught,
    ):
        client.whoami()
    assert spoilt not in str(caught.value)
    assert caught.value.__cause__ is None


def test_an_access_token_that_is_refused_is_renewed(
    label_studio: LabelStudioServer, token: str
) -> None:
    with LabelStudioClient(label_studio.url, token) as client:
        assert client.whoami().email == label_studio.credentials.email
        login = client._connection.login
        assert isinstance(login, PersonalLogin)
        # As after five minutes by Label Studio's clock: the signature is wrong instead.
        held = login._access
        login._access = held[:-4] + ("AAAA" if held[-4:] != "AAAA" else "BBBB")
        assert client.whoami().email == label_studio.credentials.email
        assert login._access not in ("", held)


def test_a_revoked_token_is_refused_with_a_remedy(
    label_studio: LabelStudioServer, token: str
) -> None:
    answer = _revoke(label_studio, token)
    assert answer.status_code == httpx.codes.NO_CONTENT, answer.text
    with (
        LabelStudioClient(label_studio.url, token) as client,
        pytest.raises(LabelStudioAuthError, match="personal access token") as caught,
    ):
        client.whoami()
    assert "Make a new token" in caught.value.remedy
