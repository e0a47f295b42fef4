from __future__ import annotations

import json

import pytest

from backend.label_studio import LabelStudioClient
from domain.errors import LabelStudioAuthError, LabelStudioError
from tests.fakes.listener import listening


def test_an_address_that_label_studio_may_not_call_is_no_fault_of_the_key() -> None:
    """It answers 403 to that, as to a key that it refuses (as 1.23.2 did)."""
    with listening() as studio:
        row = {"id": 1, "url": "http://10.0.0.7:9090", "title": "nnloop", "state": "DI"}
        studio.answer("/api/ml/", json.dumps([row]).encode())
        said = "URL resolves to a reserved network address (block: 10.0.0.0/8)"
        studio.answer("/api/ml/1", {"detail": said}, 403)
        with (
            LabelStudioClient(studio.url, "0" * 40) as client,
            pytest.raises(
                LabelStudioError, match=r"refused http://10\.0\.0\.7:9090 as a"
            ) as caught,
        ):
            client.register_backend(1, "http://10.0.0.7:9090", "nnloop")
    assert not isinstance(caught.value, LabelStudioAuthError)
    assert "SSRF_PROTECTION_ENABLED=false" in caught.value.remedy
