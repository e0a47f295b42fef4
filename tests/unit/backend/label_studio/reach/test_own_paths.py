"""Which addresses get the key."""

from __future__ import annotations

import httpx
import pytest

from backend.label_studio.reach.own_paths import gets_key, is_own, web_address

STUDIO = "http://studio:8080"


@pytest.mark.parametrize(
    "path",
    [
        "/data/upload/1/a.png",
        "/data/upload/1/a..b.png",
        "/data/upload/1/%D0%B0.png",
        "/data/local-files/?d=../scans/a.png",  # Label Studio looks at its query itself
        "/tasks/7/presign/?fileuri=czM6Ly8=",
        "/projects/2/resolve/?fileuri=czM6Ly8=",
        "/api/tasks/7/presign/?fileuri=czM6Ly8=",
        "/storage-data/uploaded/?filepath=upload/1/a.png",
    ],
)
def test_images_of_label_studio_get_the_key(path: str) -> None:
    assert gets_key(STUDIO, httpx.URL(STUDIO + path))
    assert gets_key(STUDIO + "/ls", httpx.URL(STUDIO + "/ls" + path))
    assert not gets_key(STUDIO + "/ls", httpx.URL(STUDIO + path))  # another program beside it


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/x",
        "/../../x",
        "/api/users/",
        "/user/login/",
        "/data/upload",
        "/data/uploads/a.png",
        "/data/upload/../../x",
        "/data/upload/%2e%2e/%2e%2e/x",
        "/data/upload/%252e%252e/x",
        "/data/upload/%25252e./x",
        "/data/upload/..%2f..%2fx",
        "/data/upload/..%5c..%5cx",
        "/data/upload/..;/..;/x",
        "/data/upload/./a.png/%2e%2e",
        "//data/upload/1/a.png",
        "/tasks/7/presign/../../x",
        "/tasks/a/presign/",
        "/projects/2/presign/x",
    ],
)
def test_nothing_else_gets_the_key(path: str) -> None:
    assert not gets_key(STUDIO, httpx.URL(STUDIO + path))


@pytest.mark.parametrize(
    "url",
    [
        "http://studio:8081/data/upload/1/a.png",
        "https://studio:8080/data/upload/1/a.png",
        "http://studio.evil.test:8080/data/upload/1/a.png",
        "http://studio:8080@evil.test/data/upload/1/a.png",
        "http://evil.test#@studio:8080/data/upload/1/a.png",
        "http://evil.test?@studio:8080/data/upload/1/a.png",
    ],
)
def test_other_hosts_do_not(url: str) -> None:
    address = web_address(url)
    assert address is None or not is_own(STUDIO, address)
    assert address is None or not gets_key(STUDIO, address)


def test_an_address_that_became_encrypted_is_still_label_studio() -> None:
    url = httpx.URL("https://studio/data/upload/1/a.png")
    assert gets_key("http://studio", url)
    assert not gets_key("https://studio", httpx.URL("http://studio/data/upload/1/a.png"))
