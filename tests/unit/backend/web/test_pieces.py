"""Large bodies, cut into pieces: read as small ones are."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.web import body as body_module
from backend.web import pieces
from backend.web.body import LARGE_AT_ONCE, Gate
from backend.web.pieces import NotJsonError, TooManyError, members_of
from backend.web.protocol import PredictRequest, Received, SetupRequest, WebhookEvent
from tests.unit.backend.web.conftest import Service, ask_predict, region

PAD = "x" * body_module.AT_ONCE_BYTES


def in_pieces(model: type[Received], body: bytes) -> Received:
    return model.model_validate(members_of(body, model.wanted(), is_hint=model.is_hint))


SAMPLES: list[tuple[type[Received], dict[str, Any]]] = [
    (PredictRequest, ask_predict(7, 1, 2, 3)),
    (PredictRequest, {"tasks": [], "project": "7.1795238184", "label_config": "<View/>"}),
    (PredictRequest, {"tasks": {"id": 1, "data": {"image": 'a"]}{['}}, "project": {"id": 7}}),
    (
        PredictRequest,
        {
            "params": {"context": {"result": [region()]}},
            "tasks": [
                {
                    "id": 4,
                    "predictions": [{"result": [region()] * 3, "score": 0.5}],
                    "created_at": "2026-01-01T00:00:00Z",
                    "data": {"image": "ü\u2028\ud83d\ude00\\", "n": [1.5e-3, None, True]},
                    "project": 7,
                }
            ],
        },
    ),
    (SetupRequest, {"project": "7.1795238184", "schema": "<View>\n</View>", "access_token": "t"}),
    (WebhookEvent, {"action": "A", "project": {"id": 7, "token": "t"}, "task": {"id": 3}}),
    (WebhookEvent, {"action": "A", "tasks": [{"id": 3}, 4, None, "x", [5]], "annotation": [{}]}),
    (WebhookEvent, {"action": "A", "annotations": [{"id": 1, "task": 3}], "task": "text"}),
]


@pytest.mark.parametrize(("model", "value"), SAMPLES)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_body_in_pieces_is_what_it_is_as_a_whole(
    model: type[Received], value: dict[str, Any], indent: int | None
) -> None:
    for is_ascii in (True, False):
        text = json.dumps(value, indent=indent, ensure_ascii=is_ascii)
        raw = text.encode("utf-8", "surrogatepass")
        if not is_ascii and b"\xed" in raw:
            continue
        _are_equal(in_pieces(model, raw), model.model_validate_json(raw))


def _are_equal(one: Received, other: Received) -> None:
    if isinstance(one, WebhookEvent) and isinstance(other, WebhookEvent):  # odd shapes may differ
        assert (one.action, one.project) == (other.action, other.project)
        assert one.task_ids == other.task_ids
    else:
        assert one == other


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)


@settings(max_examples=40)
@given(before=JSON, inside=JSON, data=st.dictionaries(st.text(max_size=4), JSON, max_size=3))
def test_what_is_not_read_may_be_anything(before: Any, inside: Any, data: dict[str, Any]) -> None:
    value = {
        "params": before,
        "tasks": [{"meta": inside, "id": 1, "data": data}, {"id": 2, "data": {}, "x": before}],
        "project": 7,
    }
    raw = json.dumps(value).encode()
    assert in_pieces(PredictRequest, raw) == PredictRequest.model_validate_json(raw)


def test_of_equal_names_the_last_counts() -> None:
    raw = b'{"tasks":[{"id":1}],"project":3,"tasks":[{"id":2,"id":5}],"project":7}'
    assert in_pieces(PredictRequest, raw) == PredictRequest.model_validate_json(raw)
    assert [task.id for task in in_pieces(PredictRequest, raw).tasks] == [5]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b'{"a"}',
        b'{"project":',
        b'{"project":1',
        b'{"project":1,}',
        b'{"tasks":[',
        b'{"tasks":[1,',
        b'{"tasks":[{]',
        b'{"tasks":[1 2]}',
        b'{"tasks":["abc',
        b'{"params":"x\\',
        b'{"tasks":[{"id":}]}',
        b'{"project":\xff}',
        b'{"project":tru}',
        b"{" * 100_000,
        b'{"tasks":' + b"[" * 300_000,
        b'{"project":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_no_json_is_said_soon(raw: bytes) -> None:
    began = time.process_time()
    with pytest.raises(NotJsonError):
        members_of(raw, PredictRequest.wanted())
    assert time.process_time() - began < 2


def test_too_many_tasks_are_refused_before_they_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "MAX_PIECES", 100)
    one = b'{"id":1,"data":{}},'
    raw = b'{"project":1,"tasks":[' + (one * 3_000_000)[:-1] + b"]}"  # 54 MiB
    began = time.process_time()
    with pytest.raises(TooManyError, match="more than 100 tasks"):
        members_of(raw, PredictRequest.wanted())
    assert time.process_time() - began < 1


def test_values_are_counted_where_they_are_read_and_nowhere_else() -> None:
    many = b"[" + b"1," * pieces.MAX_VALUES + b"1]"
    read = b'{"project":1,"tasks":[{"id":1,"data":{"x":' + many + b"}}]}"
    with pytest.raises(TooManyError, match="values in one place"):
        members_of(read, PredictRequest.wanted())
    passed = b'{"project":1,"tasks":[{"id":1,"data":{},"predictions":' + many + b"}]}"
    assert len(members_of(passed, PredictRequest.wanted())["tasks"]) == 1


def test_a_hint_takes_what_it_can(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bulk import of more tasks than are read, and a brush of very many numbers."""
    monkeypatch.setattr(pieces, "MAX_PIECES", 1_500)
    monkeypatch.setattr(pieces, "MAX_VALUES", 1_000)
    tasks = ",".join(f'{{"id":{i},"pad":"{"x" * 10}"}}' for i in range(1, 3_001))
    body = f'{{"action":"TASKS_CREATED","project":7,"tasks":[{tasks}]}}'
    assert service.client.post("/webhook", content=body.encode()).status_code == 200
    rle = ",".join(["12"] * 200_000)
    result = f'[{{"value":{{"rle":[{rle}]}}}}]'
    body = f'{{"action":"A","project":7,"annotation":{{"id":1,"task":3,"result":{result}}}}}'
    assert service.client.post("/webhook", content=body.encode()).status_code == 200
    first, second = service.hints()
    assert first == (7, "TASKS_CREATED", list(range(1, 1001)))
    assert second == (7, "A", [3])


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/predict", '{"tasks": [], "project": 7, "pad": "PAD"}', 200, ""),
        ("/predict", '{"tasks": [{"id": "x"}], "project": 7, "pad": "PAD"}', 422, "id"),
        ("/predict", '{"project": 7, "pad": "PAD"}', 422, "tasks"),
        ("/predict", '{"tasks": [', 400, "not JSON"),
        ("/predict", '{"pad": "PAD", "tasks": [', 400, "not JSON"),
        ("/predict", '{"pad": "PAD", "tasks": [TASKS]}', 413, "20,000 tasks"),
        ("/setup", '{"project": 7, "pad": "PAD"}', 200, "nnloop-untrained"),
        ("/webhook", '{"pad": "PAD", "action": 5}', 422, "action"),
    ],
)
def test_large_bodies_are_answered_as_small_ones(
    service: Service, path: str, body: str, status: int, words: str
) -> None:
    text = body.replace("PAD", PAD).replace("TASKS", ",".join(['{"id":1}'] * 20_001))
    answer = service.client.post(path, content=text.encode())
    assert answer.status_code == status, answer.text
    assert words in answer.text
    assert PAD[:100] not in answer.text


def test_few_large_bodies_are_in_memory_at_a_time() -> None:
    async def crowd() -> tuple[int, int]:
        gate, inside, most, done = Gate(), 0, 0, 0

        async def one(number: int) -> None:
            nonlocal inside, most, done
            async with gate.turn() as turn:
                await turn.take()
                await turn.take()  # a second part of the same body
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0.01)
                inside -= 1
                done += 1
                if number % 2:
                    raise ConnectionError("the caller hung up")

        await asyncio.gather(*map(one, range(9)), return_exceptions=True)
        async with gate.turn():  # one that is small takes no turn
            return most, done

    assert asyncio.run(crowd()) == (LARGE_AT_ONCE, 9)
