"""The fakes answer the calls of what they stand for, and no others."""

from __future__ import annotations

import inspect

import pytest

from backend.label_studio import LabelStudioClient
from backend.queue import JobQueue
from tests.fakes.label_studio import FakeLabelStudio
from tests.fakes.queue import FakeQueue

PERSON = {"add_task", "label", "unlabel", "tab_of", "titles", "silently", "stamp", "restart_clock"}


def _calls(kind: type) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(value)
        for name, value in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }


@pytest.mark.parametrize("name", sorted(_calls(FakeLabelStudio).keys() - PERSON))
def test_the_fake_label_studio_is_called_like_the_client(name: str) -> None:
    fake, real = _calls(FakeLabelStudio)[name], _calls(LabelStudioClient)[name]
    assert list(fake.parameters) == list(real.parameters)
    assert fake.return_annotation == real.return_annotation


@pytest.mark.parametrize("name", sorted(_calls(JobQueue)))
def test_the_fake_queue_is_called_like_the_queue(name: str) -> None:
    assert name in FakeQueue.__dict__
    assert list(_calls(FakeQueue)[name].parameters) == list(_calls(JobQueue)[name].parameters)
