"""What OpenAI clients send, as the gateway gets it."""

from typing import Any

import pytest

from middlewares.edge.openai import to_gateway_chat, wants_usage
from middlewares.exchange import Refusal

USER = {"role": "user", "content": "hi"}
CHAT: dict[str, Any] = {"model": "m", "messages": [USER]}


@pytest.mark.parametrize(
    ("members", "gateway"),
    [
        ({}, {}),
        ({"max_completion_tokens": 7, "max_tokens": 9}, {"max_tokens": 7}),
        ({"temperature": None, "top_p": 0.5, "top_k": 3, "stream": True}, {"top_p": 0.5, "top_k": 3, "stream": True}),
        ({"n": 1, "tools": [], "stop": None, "response_format": {"type": "text"}, "logprobs": False}, {}),
        ({"user": "u", "seed": 1, "stream_options": {"include_usage": True}, "metadata": {}, "store": False}, {}),
        (
            {"messages": [{"role": "developer", "content": "be"}, {**USER, "name": "bob"}]},
            {"messages": [{"role": "system", "content": "be"}, USER]},
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "h"}, {"type": "text", "text": "i"}]}]},
            {},
        ),
    ],
)
def test_what_the_gateway_gets(members: dict[str, Any], gateway: dict[str, Any]) -> None:
    assert to_gateway_chat({**CHAT, **members}) == {**CHAT, **gateway}


@pytest.mark.parametrize(
    ("members", "parameter"),
    [
        ({"n": 2}, "n"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"functions": [{}]}, "functions"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"stop": ["\n"]}, "stop"),
        ({"logprobs": True}, "logprobs"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0]"),
        ({"messages": [USER, {"role": "assistant", "tool_calls": [{}]}]}, "messages[1].tool_calls"),
        ({"Model": "x"}, "Model"),
        ({"messages": [{**USER, "Role": "tool"}]}, "Role"),
    ],
)
def test_what_would_get_another_response_is_refused(members: dict[str, Any], parameter: str) -> None:
    with pytest.raises(Refusal) as refused:
        to_gateway_chat({**CHAT, **members})
    assert refused.value.members == {"parameter": parameter}


@pytest.mark.parametrize("messages", [None, "hi", [], ["hi"], [{"role": ["user"], "content": 3}]])
def test_nonsense_is_left_to_the_checks_of_every_chat(messages: object) -> None:
    to_gateway_chat({"messages": messages})


@pytest.mark.parametrize(
    ("options", "wanted"),
    [(None, False), ({}, False), ({"include_usage": None}, False), ({"include_usage": True, "other": 1}, True)],
)
def test_the_usage_is_wanted_by_name(options: object, wanted: bool) -> None:
    assert wants_usage({**CHAT, "stream_options": options}) is wanted


@pytest.mark.parametrize("options", [True, [], "include_usage", {"include_usage": 1}, {"include_usage": "true"}])
def test_stream_options_of_another_shape_are_refused(options: object) -> None:
    with pytest.raises(Refusal, match="stream_options") as refused:
        wants_usage({**CHAT, "stream_options": options})
    assert refused.value.status == 400
