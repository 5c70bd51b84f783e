"""Chats that would end the gateway, or that it would read differently from Tollgate (gateway contract section 1.2)."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.access import Edge
from config.chats import Chats
from config.plans import MaxTokens, Plan
from config.workloads import Unit, Workload
from middlewares.edge.body import parse_object
from middlewares.edge.declaration import add_members, declare, missing_members
from middlewares.exchange import Declaration, Refusal

CHAT: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "user", "content": "hi"}],
    "max_tokens": 5,
    "stream": True,
}


def admit(body: bytes, settings: Edge | None = None, plan: Plan | None = None) -> tuple[bytes, Declaration]:
    """As the edge does: what the gateway would get, and what is known of it."""
    settings, plan = settings or Edge(), plan or Plan()
    document = parse_object(body)
    added = missing_members(Workload.LLM, document, settings, plan)
    declared = declare(Workload.LLM, document, body, settings, plan, added=added)
    return add_members(body, added, first=not document) if added else body, declared


def refused(body: bytes, settings: Edge | None = None, plan: Plan | None = None) -> str:
    """The parameter that is named as the culprit."""
    with pytest.raises(Refusal) as refusal:
        admit(body, settings, plan)
    assert (refusal.value.status, refusal.value.code) == (400, "invalid_parameter")
    return str(refusal.value.members["parameter"])


def chat(**members: object) -> bytes:
    return json.dumps({**CHAT, **members}).encode()


WRONG: dict[str, tuple[object, ...]] = {
    "temperature": (-0.1, 2.1, "1", True, 1e300, [1]),
    "top_p": (-0.1, 1.1, "1", False, {}, 0, 0.0, -0.0, 1e-50, 7e-46, 10**400),
    "top_k": (0, -2, 1.5, "3", True, 2**31),
    "max_tokens": (0, -1, 1.0, "5", True, 2**31),
    "stream": (1, 0, "true", []),
    "model": (0, False, [], {}, 3),
    "messages": ([], None, "hi", {}, 3),
    "messages[0]": ("hi", None, [], 3),
    "messages[0].role": ("tool", "User", "", None, 3, ["user"]),
    "messages[0].content": ([{"type": "text", "text": "hi"}], None, 3),
}


def with_wrong(parameter: str, value: object) -> dict[str, object]:
    place, _, member = parameter.partition(".")
    if place == parameter:
        return {"messages": [value]} if place.endswith("]") else {parameter: value}
    return {"messages": [{**CHAT["messages"][0], member: value}]}


@pytest.mark.parametrize(
    ("members", "parameter"),
    [
        *((with_wrong(parameter, value), parameter) for parameter, values in WRONG.items() for value in values),
        ({"messages": [*CHAT["messages"], {"content": "hi"}]}, "messages[1].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "a" * 8_108}]}, "messages"),
        ({"messages": [{"role": "user", "content": "\u00e4" * 4_054}]}, "messages"),
        ({"messages": [{"role": "user", "Role": "tool", "content": "hi"}]}, "Role"),
        ({"messages": [{"role": "user", "content": "hi", "CONTENT": "x" * 99}]}, "CONTENT"),
        ({"Messages": []}, "Messages"),
        ({"Temperature": 9}, "Temperature"),
    ],
)
def test_a_chat_that_would_end_the_gateway_is_refused(members: dict[str, object], parameter: str) -> None:
    assert refused(chat(**members)) == parameter


@pytest.mark.parametrize(
    ("members", "name"),
    [
        (b'"max_tokens":1,"max_tokens":9', "max_tokens"),
        (b'"max_tokens":1,"max_\\u0074okens":9', "max_tokens"),
        (b'"max_tokens":9,"max_tokens":null', "max_tokens"),
        (b'"messages":[]', "messages"),
        (b'"model":"other"', "model"),
        (b'"x":{"messages":1,"messages":2}', "messages"),
    ],
)
def test_a_member_that_is_given_twice_is_refused(members: bytes, name: str) -> None:
    """Go overwrites or merges; what it is left with is not what Tollgate checked."""
    body = b'{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true,' + members + b"}"
    assert refused(body) == name


@pytest.mark.parametrize("member", [b'"role":"tool","role":"user"', b'"role":"tool","r\\u006fle":"user"'])
def test_a_role_that_is_given_twice_is_refused(member: bytes) -> None:
    assert refused(b'{"model":"m","messages":[{"content":"hi",' + member + b"}]}") == "role"


@pytest.mark.parametrize(
    "members",
    [
        {"temperature": 0, "top_p": 1, "top_k": -1},
        {"temperature": 2.0, "top_p": 1e-45, "top_k": 1},
        {"temperature": None, "top_p": None, "top_k": None},
        {"messages": [{"role": "user", "content": 'say "model", "role" and "messages": \\u0041'}]},
        {"messages": [{"role": "user", "content": "content", "name": "role"}], "user": "model"},
        {"messages": [{"role": "user", "content": "\u00fc" * 4_053}]},
    ],
)
def test_an_honest_chat_passes_byte_for_byte(members: dict[str, object]) -> None:
    for body in (chat(**members), b" " + json.dumps({**CHAT, **members}, ensure_ascii=False, indent=1).encode()):
        assert admit(body)[0] == body


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (b'{"messages":[M]}', b'{"messages":[M],"model":"d","max_tokens":1024,"stream":false}'),
        (b'{"messages":[M],"model":"","max_tokens":null,"stream":true} \n', None),
        (b'{"messages":[M],"max_tokens":7}\r\n', b'{"messages":[M],"max_tokens":7,"model":"d","stream":false}'),
    ],
)
def test_what_the_gateway_needs_is_added_at_the_end(body: bytes, sent: bytes | None) -> None:
    message = b'{"role":"user","content":"hi"}'
    forwarded, declared = admit(body.replace(b"M", message), Edge(default_models={Workload.LLM: "d"}))
    if sent:
        assert forwarded == sent.replace(b"M", message)
    read = json.loads(forwarded)  # the last of a name counts, as in Go
    assert (read["model"], declared.model) == ("d", "d")
    assert read["max_tokens"] == declared.units[Unit.OUTPUT_TOKENS]
    assert isinstance(read["stream"], bool)


def test_a_chat_without_a_model_is_refused_where_none_is_configured() -> None:
    assert refused(b'{"messages":[{"role":"user","content":"hi"}]}') == "model"


def test_the_plan_says_how_many_tokens_there_are() -> None:
    plan = Plan(max_tokens=MaxTokens(default=10, max=20))
    assert admit(chat(max_tokens=None), plan=plan)[1].units[Unit.OUTPUT_TOKENS] == 10
    assert admit(chat(max_tokens=20), plan=plan)[1].units[Unit.OUTPUT_TOKENS] == 20
    assert refused(chat(max_tokens=21), plan=plan) == "max_tokens"


def test_a_model_may_take_other_prompts() -> None:
    settings = chats(context_tokens=89, models={"m": {"context_tokens": 1_085}})
    assert admit(chat(messages=[{"role": "user", "content": "a" * 1_000}]), settings)
    assert refused(chat(messages=[{"role": "user", "content": "a" * 1_001}]), settings) == "messages"
    assert admit(chat(messages=[{"role": "user", "content": "a" * 4}], model="n"), settings)
    assert refused(chat(messages=[{"role": "user", "content": "a" * 5}], model="n"), settings) == "messages"


def test_prompt_and_max_tokens_share_the_context() -> None:
    prompt = [{"role": "user", "content": "a" * 4_000}]
    assert admit(chat(messages=prompt, max_tokens=8_192 - 4_000 - 16 - 64))
    assert refused(chat(messages=prompt, max_tokens=8_192 - 4_000 - 16 - 63)) == "messages"
    assert refused(chat(max_tokens=2**31 - 1)) == "messages"
    assert admit(chat(messages=prompt), chats(context_tokens=4_021, template_tokens=0))


def roles(*names: str) -> bytes:
    return chat(messages=[{"role": name, "content": "hi"} for name in names])


@pytest.mark.parametrize(
    ("names", "culprit"),
    [
        (("user", "user"), "messages[1].role"),
        (("assistant",), "messages[0].role"),
        (("assistant", "user"), "messages[0].role"),
        (("system",), "messages"),
        (("system", "assistant"), "messages[1].role"),
        (("system", "system", "user"), "messages[1].role"),
        (("user", "system"), "messages[1].role"),
        (("user", "assistant", "assistant"), "messages[2].role"),
        (("user", "assistant", "user", "system", "user"), "messages[3].role"),
    ],
)
def test_roles_in_an_order_that_a_chat_template_refuses(names: tuple[str, ...], culprit: str) -> None:
    assert refused(roles(*names)) == culprit
    assert admit(roles(*names), chats(models={"m": {"roles": "any"}})), "the operator knows better"
    assert admit(roles(*names), chats(roles="any"))
    assert refused(roles(*names), chats(roles="any", models={"m": {"roles": "alternating"}})) == culprit


@pytest.mark.parametrize("names", ["u", "su", "ua", "sua", "uau", "suauau"])
def test_roles_in_an_order_that_every_chat_template_takes(names: str) -> None:
    assert admit(roles(*({"u": "user", "s": "system", "a": "assistant"}[name] for name in names)))


def test_a_model_may_take_a_top_p_of_zero() -> None:
    settings = chats(models={"m": {"zero_top_p": True}})
    assert admit(chat(top_p=0), settings)
    assert refused(chat(top_p=0, model="n"), settings) == "top_p"


def chats(**members: object) -> Edge:
    return Edge(chats=Chats.model_validate(members))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.ci
@given(st.dictionaries(st.sampled_from([*CHAT, "temperature", "top_p", "top_k", "MODEL", "x"]), JSON))
def test_any_document_is_refused_or_admitted_with_everything_the_gateway_needs(members: dict[str, Any]) -> None:
    try:
        forwarded, _ = admit(json.dumps(members).encode())
    except Refusal:
        return
    assert all(json.loads(forwarded)[name] is not None for name in CHAT)
