"""What metered JSON routes declare before they are admitted, and that reading it changes no byte."""

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from config.access import Edge
from config.plans import Plan
from config.workloads import Unit, Workload
from middlewares.edge.body import parse_object
from middlewares.edge.declaration import declare, missing_members
from middlewares.exchange import Refusal
from tests.edge.server_fixture import Response, Server, serve

USER = {"role": "user", "content": "hi"}
CHAT: dict[str, object] = {"model": "m", "messages": [USER]}
WRONG: tuple[object, ...] = ("a", "64", -1, 0, 64.0, True, [], {}, 65_536, 2**31 + 1, 10**30)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(Edge(max_json_bytes=4_096)) as running:
        yield running


def post(path: str, body: bytes, *, chunks: int | None = None) -> tuple[bytes, ...]:
    head = f"POST {path} HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n".encode()
    if chunks is None:
        return head + b"Content-Length: %d\r\n\r\n" % len(body), body
    size = max(1, len(body) // chunks)
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    framed = [b"%x\r\n%b\r\n" % (len(part), part) for part in parts]
    return head + b"Transfer-Encoding: chunked\r\n\r\n", *framed, b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("workload", "document", "model", "units"),
    [
        (Workload.TEXT_TO_IMAGE, {}, "", {Unit.PIXELS: 512 * 512, Unit.GENERATIONS: 1}),
        (
            Workload.TEXT_TO_IMAGE,
            {"model_id": "m", "width": 64, "height": 32, "num_images_per_prompt": 3, "model": "other"},
            "m",
            {Unit.PIXELS: 64 * 32 * 3, Unit.GENERATIONS: 3},
        ),
        (Workload.TEXT_TO_IMAGE, {"width": None}, "", {Unit.PIXELS: 512 * 512, Unit.GENERATIONS: 1}),
        (
            Workload.LLM,
            {"model": "m", "max_tokens": 7, "model_id": "other", "messages": [USER]},
            "m",
            {Unit.INPUT_TOKENS: 2 + 16 + 64, Unit.OUTPUT_TOKENS: 7},
        ),
        (
            Workload.LLM,
            {"messages": [{"role": "system", "content": "h\u00e9"}, USER, {"role": "assistant", "content": ""}]},
            "",
            {Unit.INPUT_TOKENS: 3 + 2 + 3 * 16 + 64, Unit.OUTPUT_TOKENS: 1_024},
        ),
        (Workload.TEXT_TO_SPEECH, {"model_id": "m", "text": "h\u00e9llo"}, "m", {Unit.CHARACTERS: 5}),
        (Workload.TEXT_TO_SPEECH, {}, "", {Unit.CHARACTERS: 0}),
    ],
)
def test_model_and_units(workload: Workload, document: dict[str, object], model: str, units: dict[Unit, int]) -> None:
    declared = declare(workload, document, b"", Edge(), Plan(), added={})
    assert (declared.model, declared.units, declared.document) == (model, units, document)


@pytest.mark.parametrize(
    ("workload", "document", "parameter"),
    [
        *(
            (Workload.TEXT_TO_IMAGE, {name: value}, name)
            for name in ("width", "height", "num_images_per_prompt")
            for value in WRONG
        ),
        *((Workload.LLM, {"max_tokens": value}, "max_tokens") for value in ("9", 0, -1, 1.5, False, 2**31, [1])),
        (Workload.LLM, {**CHAT, "model": 1}, "model"),
        (Workload.TEXT_TO_IMAGE, {"model_id": ["m"]}, "model_id"),
        (Workload.TEXT_TO_SPEECH, {"text": 1}, "text"),
        (Workload.TEXT_TO_IMAGE, {"Width": 64}, "Width"),
        (Workload.LLM, {"max_tokens": 1, "MAX_TOKENS": 9}, "MAX_TOKENS"),
        (Workload.LLM, {"max_to\u212aens": 9}, "max_to\u212aens"),
        (Workload.LLM, {"\u017ftream": True}, "\u017ftream"),
    ],
)
def test_a_parameter_the_gateway_would_refuse_or_read_differently(
    workload: Workload, document: dict[str, object], parameter: str
) -> None:
    def look() -> None:
        missing_members(workload, document, Edge(default_models={workload: "m"}), Plan())
        declare(workload, document, b"", Edge(), Plan(), added={})

    with pytest.raises(Refusal) as refused:
        look()
    assert (refused.value.status, refused.value.code) == (400, "invalid_parameter")
    assert refused.value.members == {"parameter": parameter}
    assert f"`{parameter}`" in refused.value.detail


@pytest.mark.parametrize("model", [b'"model_id":"a:b",', b'"model_id":null,', b""])
@pytest.mark.parametrize(
    "members",
    [
        b'"width":64,"width":512',
        b'"width":64,"\\u0077idth":512',
        b'"width":64,"width":null',
        b'"loras":{"width":64,"width":512}',
    ],
)
def test_a_member_that_is_given_twice_is_refused_whatever_is_added(members: bytes, model: bytes) -> None:
    body = b"{" + model + members + b"}"
    document, settings = parse_object(body), Edge(default_models={Workload.TEXT_TO_IMAGE: "m"})
    added = missing_members(Workload.TEXT_TO_IMAGE, document, settings, Plan())
    with pytest.raises(Refusal) as refused:
        declare(Workload.TEXT_TO_IMAGE, document, body, settings, Plan(), added=added)
    assert refused.value.members == {"parameter": "width"}


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b'{"a": nope}', "byte 10"),
        (b'{"a":1} {"a":2}', "trailing characters (byte 9)"),
        (b'{"a":"caf\xe9"}', "not UTF-8 (byte 9)"),
        (b"\xef\xbb\xbf{}", "byte 0"),
        (b'{"a":NaN}', "byte 5"),
        (b"[1]", "not an object"),
        (b"null", "not an object"),
        (b'"a"', "not an object"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
    ],
)
def test_malformed_json_is_refused_with_its_place(body: bytes, what: str) -> None:
    with pytest.raises(Refusal) as refused:
        parse_object(body)
    assert (refused.value.status, refused.value.code) == (400, "malformed_json")
    assert what in refused.value.detail


@given(st.binary(max_size=64) | st.text(max_size=32).map(str.encode))
def test_any_bytes_are_an_object_or_refused(body: bytes) -> None:
    try:
        document = parse_object(body)
    except Refusal:
        return
    assert document == json.loads(body)


@pytest.mark.parametrize(
    ("path", "body", "model"),
    [
        ("/llm", rb'{"model":"m\ud800","messages":[{"role":"user","content":"\udc00"}]}', "m\ufffd"),
        ("/v1/chat/completions", rb'{"model":"\udfff","messages":[{"role":"user","content":"\ud800"}]}', "\ufffd"),
        ("/text-to-image", rb'{"model_id":"\ud83d\ude00","prompt":"\ud83d"}', "\U0001f600"),
        ("/text-to-speech", rb'{"model_id":"m","text":"\ud800\ud800"}', "m"),
    ],
)
def test_half_of_a_surrogate_pair_is_no_error(server: Server, path: str, body: bytes, model: str) -> None:
    (seen,) = server.send(*post(path, body)).seen
    assert seen.declared is not None
    assert seen.declared.model == model
    if not path.startswith("/v1"):
        assert seen.body.startswith(body[:-1]), "Go reads it so too"


@pytest.mark.parametrize("chunks", [None, 1, 7, 1_000])
def test_the_body_is_replayed_byte_for_byte(server: Server, chunks: int | None) -> None:
    body = b'{ "model_id":"m",\t"width": 64, "height":64,  "prompt":"caf\xc3\xa9" }\n'
    response = server.send(*post("/text-to-image", body, chunks=chunks))
    assert response.statuses == [200]
    (seen,) = response.seen
    assert seen.body == body
    assert seen.exchange.content_length == len(body)
    assert seen.declared is not None
    assert seen.declared.units == {Unit.PIXELS: 4_096, Unit.GENERATIONS: 1}


def refusal_of(response: Response) -> tuple[object, object]:
    assert not any(seen.complete for seen in response.seen)
    return response.problem["status"], response.problem["code"]


def test_nothing_of_a_malformed_body_is_passed_on(server: Server) -> None:
    assert refusal_of(server.send(*post("/llm", b'{"model":'))) == (400, "malformed_json")


@pytest.mark.parametrize("chunks", [None, 3])
def test_a_json_body_over_its_limit_is_refused(server: Server, chunks: int | None) -> None:
    body = b'{"prompt":"' + b"a" * 5_000 + b'"}'
    assert refusal_of(server.send(*post("/text-to-image", body, chunks=chunks))) == (413, "body_too_large")


def test_a_body_on_other_routes_is_not_read(server: Server) -> None:
    response = server.send(*post("/image-to-image", b"not json" * 1_000))
    assert response.statuses == [200]
    assert response.seen[0].declared is not None
    assert response.seen[0].declared.document is None


def test_a_client_that_leaves_before_its_body_is_complete(server: Server) -> None:
    head, body = post("/llm", b'{"model":"m","max_tokens":5,"messages":[]}')
    with server.connect() as client:
        client.send(head + body[:5])
        client.close()
        assert server.log.wait(lambda: any(seen.refused for seen in client.seen))
    assert [seen.refused for seen in client.seen] == ["client_disconnected"]
    assert not any(seen.complete for seen in client.seen)


async def wait_for_the_end(scope: Scope, receive: Receive, send: Send) -> None:
    """Note the types of two messages, one after another."""
    for _ in range(2):
        message = await receive()
        scope["log"].note(message["type"])


def test_a_disconnect_is_seen_after_the_replayed_body() -> None:
    with serve(Edge(), wait_for_the_end) as server:
        with server.connect() as client:
            client.send(b"".join(post("/text-to-image", b'{"model_id":"m"}')))
            assert server.log.wait(lambda: server.log.notes == ["http.request"])
        assert server.log.wait(lambda: server.log.notes == ["http.request", "http.disconnect"])
