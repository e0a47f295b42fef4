import base64
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from backend.label_studio import LabelStudioClient, ProjectInfo
from backend.settings.image_hosts import ImageHosts
from backend.stack.label_studio_server import LabelStudioServer
from backend.stack.ports import free_port
from domain.errors import ImageError
from tests.fakes.listener import Listener

Listen = Callable[[], Listener]


def reason_of(call: Callable[[], object]) -> ImageError:
    with pytest.raises(ImageError) as caught:
        call()
    assert str(caught.value).startswith("Task 7: ")
    assert caught.value.remedy
    return caught.value


def test_an_upload_is_read_by_path_and_by_address(
    client: LabelStudioClient, project: ProjectInfo
) -> None:
    (task_id,) = client.import_images(project.id, [("a.png", b"the bytes")])
    uri = client.task(task_id).data["image"]
    assert uri.startswith("/data/upload/")
    assert client.fetch_image(uri, task_id, project.id) == b"the bytes"
    assert client.fetch_image(client.url + uri, task_id, project.id) == b"the bytes"


def test_a_local_file_is_read(
    client: LabelStudioClient, project: ProjectInfo, label_studio: LabelStudioServer
) -> None:
    folder = label_studio.files_root / "scans"
    folder.mkdir(exist_ok=True)
    (folder / "a b.png").write_bytes(b"local")
    client._connection.json(
        "POST",
        "/api/storages/localfiles",
        body={"project": project.id, "path": str(folder), "use_blob_urls": True, "title": "scans"},
    )
    for uri in ("/data/local-files/?d=scans/a%20b.png", "/data/local-files/?d=scans/a b.png"):
        assert client.fetch_image(uri, 7, project.id) == b"local"
    assert client.fetch_image(f"{client.url}{uri}", 7, project.id) == b"local"
    lost = "/data/local-files/?d=scans/lost.png"
    error = reason_of(lambda: client.fetch_image(lost, 7, project.id))
    assert error.reason == "image_missing"
    assert "lost.png" in str(error)


@pytest.mark.parametrize("uri", ["/data/upload/1/nothing.png", "s3://bucket/nothing.png"])
def test_a_missing_image_names_the_task(
    client: LabelStudioClient, project: ProjectInfo, uri: str
) -> None:
    error = reason_of(lambda: client.fetch_image(uri, 7, project.id))
    assert error.reason == "image_missing"
    assert uri in str(error)


def test_a_wrong_key_is_a_refused_image(label_studio: LabelStudioServer) -> None:
    with LabelStudioClient(label_studio.url, "1" * 40) as client:
        error = reason_of(lambda: client.fetch_image("/data/upload/1/a.png", 7, 1))
    assert error.reason == "image_refused"


def test_the_key_goes_to_no_other_host(
    client: LabelStudioClient, project: ProjectInfo, listen: Listen
) -> None:
    listener = listen()
    client.image_hosts = ImageHosts.parse("127.0.0.1")
    listener.answer("/a.png", b"elsewhere")
    listener.answer("/to-studio", status=302, Location=f"{client.url}/data/upload/1/lost.png")
    assert client.fetch_image(f"{listener.url}/a.png", 7, project.id) == b"elsewhere"
    # Coming back to Label Studio the key is sent again: missing, not refused.
    error = reason_of(lambda: client.fetch_image(f"{listener.url}/to-studio", 7, project.id))
    assert error.reason == "image_missing"
    assert all("Authorization" not in call[2] for call in listener.calls)


def test_the_key_does_not_follow_a_redirect_away(listen: Listen) -> None:
    studio, other = listen(), listen()
    studio.answer("/data/upload/1/a.png", status=302, Location=f"{other.url}/a.png")
    other.answer("/a.png", b"moved")
    with LabelStudioClient(studio.url, "a" * 40) as client:
        assert client.fetch_image("/data/upload/1/a.png", 7, 1) == b"moved"
    assert studio.calls[0][2]["Authorization"] == "Token " + "a" * 40
    assert "Authorization" not in other.calls[0][2]


def test_a_presigned_link_is_followed_without_the_key(listen: Listen) -> None:
    studio, bucket = listen(), listen()
    studio.answer("/tasks/7/presign/", status=303, Location=f"{bucket.url}/k.png?signature=s")
    bucket.answer("/k.png", b"from the bucket")
    with LabelStudioClient(studio.url, "a" * 40) as client:
        assert client.fetch_image("s3://b/k.png", 7, 1) == b"from the bucket"
    query = urlsplit(studio.calls[0][1]).query
    assert base64.urlsafe_b64decode(query.removeprefix("fileuri=")) == b"s3://b/k.png"
    assert "Authorization" not in bucket.calls[0][2]


def test_a_prefix_in_the_address_is_kept(listen: Listen) -> None:
    studio = listen()
    studio.answer("/ls/data/upload/1/a.png", b"prefixed")
    with LabelStudioClient(studio.url + "/ls/", "a" * 40) as client:
        assert client.fetch_image("/data/upload/1/a.png", 7, 1) == b"prefixed"
        assert client.fetch_image("/ls/data/upload/1/a.png", 7, 1) == b"prefixed"


def test_faults_have_reasons(listen: Listen) -> None:
    studio = listen()
    studio.answer("/big", b"x" * 1000)
    studio.answer("/loop", status=302, Location="/loop")
    studio.answer("/login-needed", status=302, Location="/user/login/?next=/x")
    studio.answer("/to-file", status=302, Location="file:///etc/passwd")
    studio.answer("/broken", status=500)
    closed = f"http://127.0.0.1:{free_port()}/a.png?signature=secret"
    with LabelStudioClient(studio.url, "a" * 40) as client:
        client.image_hosts = ImageHosts.parse("127.0.0.1,host")
        cases = {
            "/big": "image_too_large",
            "/loop": "image_unreachable",
            "/login-needed": "image_refused",
            "/to-file": "image_unreachable",
            "/broken": "image_unreachable",
            "/gone": "image_missing",
            closed: "image_unreachable",
            "http://[::1]/a.png?signature=secret": "host_refused",
            "file:///etc/passwd": "unsupported_uri",
            "ftp://host/a.png": "unsupported_uri",
            "//host/a.png": "unsupported_uri",
            "a.png": "unsupported_uri",
            "": "unsupported_uri",
            "http://[bad/a.png": "unsupported_uri",
            "http://host:bad/a.png": "unsupported_uri",
            "data:image/png;base64,@@@": "unsupported_uri",
            "data:image/png;base64": "unsupported_uri",
        }
        for uri, reason in cases.items():

            def fetch(uri: str = uri) -> bytes:
                return client.fetch_image(uri, 7, 1, max_bytes=999)

            error = reason_of(fetch)
            assert (uri, error.reason) == (uri, reason)
            assert "secret" not in str(error)


def test_a_data_uri_is_decoded(listen: Listen) -> None:
    with LabelStudioClient(listen().url, "a" * 40) as client:
        encoded = base64.b64encode(b"\x89PNG").decode()
        assert client.fetch_image(f"data:image/png;base64,{encoded}", 7, 1) == b"\x89PNG"
        assert client.fetch_image("data:,a%20b", 7, 1) == b"a b"
