"""BYOC jobs: what of a client's header is read, and what the gateway is sent."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.routing import Tier
from middlewares.edge.job import read_job
from middlewares.exchange import Job, Refusal
from middlewares.tier_routing.hints import job_header

JOB = {
    "request": '{"run": "echo"}',
    "parameters": '{"enable_video_ingress": true}',
    "capability": "c",
    "timeout_seconds": 30,
}


def encoded(**members: object) -> bytes:
    return base64.b64encode(json.dumps({**JOB, **members}).encode())


def authored(header: bytes, tier: Tier | None = None) -> dict[str, Any]:
    """What the gateway reads."""
    sent: dict[str, Any] = json.loads(base64.b64decode(job_header(read_job(header, 60), tier or Tier(), "id-1")))
    return sent


def test_a_job_keeps_what_is_the_clients_to_say() -> None:
    assert read_job(encoded(), 60) == Job("c", '{"run": "echo"}', {"enable_video_ingress": True}, 30)
    sent = authored(encoded())
    assert json.loads(sent.pop("parameters")) == {"enable_video_ingress": True}
    assert sent == {"id": "id-1", "capability": "c", "request": '{"run": "echo"}', "timeout_seconds": 30}


@pytest.mark.parametrize("name", ["sender", "sig", "capability_url", "id", "Sender", "Timeout_Seconds", "anything"])
def test_what_is_not_the_clients_to_say_is_dropped(name: str) -> None:
    sent = authored(encoded(**{name: "spoofed"}))
    assert "spoofed" not in json.dumps(sent)


@pytest.mark.parametrize("name", ["orchestrators", "Orchestrators", "ORCHE\u017fTRATORS"])
def test_orchestrators_are_the_tiers_choice(name: str) -> None:
    header = encoded(parameters=json.dumps({name: {"include": ["https://mine"]}, "x": 1}))
    assert json.loads(authored(header)["parameters"]) == {"x": 1}
    tier = Tier(byoc_include=("https://a:1", "https://b:1"), byoc_exclude=("https://b:1",))
    chosen = {"include": ["https://a:1", "https://b:1"], "exclude": ["https://b:1"]}
    assert json.loads(authored(header, tier)["parameters"]) == {"x": 1, "orchestrators": chosen}


def test_a_timeout_is_cut_to_the_plans() -> None:
    assert authored(encoded(timeout_seconds=10**9))["timeout_seconds"] == 60


def test_what_the_gateway_needs_as_text_is_added() -> None:
    sent = authored(base64.b64encode(b'{"capability":"c","timeout_seconds":1}'))
    assert (sent["request"], sent["parameters"]) == ("{}", "{}")


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"{}",
        b"e30",
        base64.b64encode(b"{}") + b", " + base64.b64encode(b"{}"),
        base64.b64encode(b"nope"),
        base64.b64encode(b"[]"),
        base64.b64encode(b'{"a":' * 50_000),
        base64.b64encode(b'{"capability":"\xff","timeout_seconds":1}'),
        encoded(capability=""),
        encoded(capability=3),
        encoded(capability=None),
        encoded(timeout_seconds=0),
        encoded(timeout_seconds=-1),
        encoded(timeout_seconds=1.5),
        encoded(timeout_seconds="30"),
        encoded(timeout_seconds=None),
        encoded(request={}),
        encoded(request="nope"),
        encoded(request="[]"),
        encoded(parameters="[1]"),
        encoded(parameters=None),
        encoded(parameters='{"a":'),
    ],
)
def test_a_malformed_job_is_refused(header: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        read_job(header, 60)
    assert (refused.value.status, refused.value.code) == (400, "malformed_job")


@given(st.binary(max_size=40) | st.text(max_size=40).map(lambda text: base64.b64encode(text.encode())))
def test_any_header_is_a_job_or_refused(header: bytes) -> None:
    with pytest.raises(Refusal):
        read_job(header, 60)


def test_too_long_a_capability_is_refused_by_its_name() -> None:
    assert read_job(encoded(capability="c" * 256), 60).capability == "c" * 256
    for capability in ("c" * 257, "\u00e9" * 129):
        with pytest.raises(Refusal) as refused:
            read_job(encoded(capability=capability), 60)
        assert (refused.value.code, refused.value.members) == ("invalid_parameter", {"parameter": "capability"})


def test_half_of_a_surrogate_pair_in_a_job_is_read_as_go_reads_it() -> None:
    header = base64.b64encode(
        rb'{"capability":"c\ud800","timeout_seconds":9,"request":"{\"a\":\"\\ud800\"}",'
        rb'"parameters":"{\"b\":\"\\udc00\"}"}'
    )
    assert read_job(header, 60) == Job("c\ufffd", r'{"a":"\ud800"}', {"b": "\ufffd"}, 9)
    sent = authored(header)
    assert (sent["capability"], json.loads(sent["parameters"])) == ("c\ufffd", {"b": "\ufffd"})
