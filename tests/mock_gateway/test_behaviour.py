"""The instruction list: every instruction is read, every mistake is named."""

import base64

import pytest

from proxy.mock_gateway.behaviour import Behaviour, in_model


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Behaviour()),
        (" , ,", Behaviour()),
        ("drop", Behaviour(drop=True)),
        ("early, status=503", Behaviour(early=True, status=503)),
        ("hold=a b,hold-at=3", Behaviour(hold="a b", hold_at=3)),
        ("delay=0.25,chunk-delay=1e-3", Behaviour(delay=0.25, chunk_delay=0.001)),
        ("bytes=67108864,chunks=0", Behaviour(size=67108864, chunks=1)),
        ("drop-after-bytes=0,zero-usage,no-finish", Behaviour(drop_after_bytes=0, zero_usage=True, no_finish=True)),
        ("tokens=1,tokens=2", Behaviour(tokens=2)),
        ("runner-error,fail-after=2,silent", Behaviour(runner_error=True, fail_after=2, silent=True)),
        ("source=320x240", Behaviour(source=(320, 240))),
        ("raw=" + base64.urlsafe_b64encode(b"\xfb\xff=,").decode().rstrip("="), Behaviour(raw=b"\xfb\xff=,")),
    ],
)
def test_reads(text: str, expected: Behaviour) -> None:
    assert Behaviour.parse(text) == expected


@pytest.mark.parametrize(
    "mistake",
    [
        "drops",
        "drop=1",
        "status",
        "status=99",
        "status=600",
        "bytes=-1",
        "bytes=+1",
        "tokens=\u0663",
        "delay=nan",
        "delay=-1",
        "delay=inf",
        "hold=",
        "raw=*",
        "size=1",
        "chunk_delay=1",
        "source=320",
        "source=0x240",
        "source=99999x1",
    ],
)
def test_names_the_mistake(mistake: str) -> None:
    with pytest.raises(ValueError, match="cannot read") as caught:
        Behaviour.parse(f"early,{mistake},drop")
    assert repr(mistake) in str(caught.value)


def test_a_model_name_carries_instructions_only_behind_its_prefix() -> None:
    assert in_model("mock/drop,tokens=2") == "drop,tokens=2"
    assert in_model("meta/drop") == in_model("drop") == ""
