"""Messages and signatures that are almost right: each is refused over HTTP, and none leaves a session behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from eth_account import Account

from tests.sign_in.operator import Operator
from tests.support.builder import builder_app
from tests.support.deployment import Deployment
from tests.support.wallet import AUTH, LOGIN, Wallet, moment

pytestmark = pytest.mark.asyncio(loop_scope="package")
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
Challenge = dict[str, Any]
Text = Callable[[str, Challenge], str]


def at(**ahead: float) -> str:
    """Return a moment so far ahead of now."""
    return moment(datetime.now(UTC) + timedelta(**ahead))


async def attempt(http: httpx.AsyncClient, message: str, signature: str) -> httpx.Response:
    """Send a message and a signature."""
    return await http.post(LOGIN, json={"message": message, "signature": signature})


def assert_refused(response: httpx.Response, code: str) -> None:
    """Check that it is a problem that says nothing of what was sent."""
    problem = response.json()
    assert (response.status_code, problem["code"]) == (400 if code == "malformed_message" else 401, code), problem
    assert "0x" + "ab" not in response.text
    if response.status_code == 401:
        assert response.headers["www-authenticate"] == 'Bearer realm="tollgate"'


CLAIMS: dict[str, tuple[Callable[[Challenge], dict[str, str | None]], str]] = {
    "another domain": (lambda c: {"domain": "evil.example"}, "message_refused"),
    "a domain that ours is the end of": (lambda c: {"domain": "evil." + c["domain"]}, "message_refused"),
    "our domain as a user name": (lambda c: {"domain": c["domain"] + "@evil.example"}, "message_refused"),
    "the domain with another port": (lambda c: {"domain": c["domain"] + "1"}, "message_refused"),
    "the domain without its port": (lambda c: {"domain": c["domain"].partition(":")[0]}, "message_refused"),
    "another scheme before the domain": (lambda c: {"domain": "https://" + c["domain"]}, "message_refused"),
    "the uri of another origin": (lambda c: {"uri": "https://evil.example"}, "message_refused"),
    "the uri of another scheme": (lambda c: {"uri": c["uri"].replace("http:", "https:")}, "message_refused"),
    "a uri that begins like ours": (lambda c: {"uri": c["uri"] + "1"}, "message_refused"),
    "our origin as a user name": (lambda c: {"uri": c["uri"] + "@evil.example/"}, "message_refused"),
    "no uri": (lambda c: {"uri": "nowhere"}, "malformed_message"),
    "another version": (lambda c: {"version": "2"}, "malformed_message"),
    "another chain": (lambda c: {"chain_id": "56"}, "message_refused"),
    "our chain with a zero before it": (lambda c: {"chain_id": "01"}, "message_refused"),
    "no statement": (lambda c: {"statement": None}, "message_refused"),
    "another statement": (lambda c: {"statement": "Sign in to Tollgate"}, "message_refused"),
    "a nonce of its own": (lambda c: {"nonce": "0" * 32}, "nonce_invalid"),
    "half a nonce": (lambda c: {"nonce": c["nonce"][:16]}, "nonce_invalid"),
    "a nonce in capitals": (lambda c: {"nonce": c["nonce"].upper()}, "nonce_invalid"),
    "a short nonce": (lambda c: {"nonce": c["nonce"][:7]}, "malformed_message"),
    "expired": (lambda c: {"expiration_time": at(seconds=-1)}, "message_refused"),
    "not valid yet": (lambda c: {"not_before": at(hours=1)}, "message_refused"),
    "issued in the future": (lambda c: {"issued_at": at(minutes=2)}, "message_refused"),
    "issued long ago": (lambda c: {"issued_at": at(minutes=-10)}, "message_refused"),
    "issued at no time": (lambda c: {"issued_at": "yesterday"}, "malformed_message"),
    "issued on a day that is none": (lambda c: {"issued_at": "2026-02-30T00:00:00Z"}, "malformed_message"),
    "issued without a time zone": (lambda c: {"issued_at": at()[:-1]}, "malformed_message"),
}


@pytest.mark.parametrize("name", CLAIMS)
async def test_a_message_that_was_signed_for_something_else(name: str, wallet: Wallet, http: httpx.AsyncClient) -> None:
    changed, code = CLAIMS[name]
    challenge = await wallet.challenge(http)
    message = wallet.message(challenge, **changed(challenge))
    response = await attempt(http, message, wallet.sign(message))
    assert_refused(response, code)


TEXTS: dict[str, Text] = {
    "look-alikes in the domain": lambda m, c: m.replace(c["domain"], c["domain"].replace("1", "\u0661"), 1),
    "a cyrillic letter in the statement": lambda m, c: m.replace("Sign in to", "Sign in t\u043e"),
    "a full-width colon": lambda m, c: m.replace("URI: ", "URI\uff1a "),
    "a zero-width space": lambda m, c: m.replace("Nonce: ", "Nonce: \u200b"),
    "line ends of windows": lambda m, c: m.replace("\n", "\r\n"),
    "mixed line ends": lambda m, c: m.replace("\n", "\r\n", 1),
    "a carriage return within a line": lambda m, c: m.replace("Version: 1", "Version: 1\r"),
    "a line separator of unicode": lambda m, c: m.replace("\n", "\u2028", 1),
    "a trailing line": lambda m, c: m + "\n",
    "a trailing field": lambda m, c: m + "\nNote: thanks",
    "a line before": lambda m, c: "\n" + m,
    "a duplicate field": lambda m, c: m.replace("Version: 1\n", "Version: 1\nVersion: 1\n"),
    "a duplicate nonce": lambda m, c: m.replace("Nonce: ", f"Nonce: {'a' * 32}\nNonce: "),
    "a duplicate optional field": lambda m, c: m + f"\nNot Before: {at()}\nNot Before: {at()}",
    "fields in another order": lambda m, c: m.replace("Version: 1\nChain ID: 1\n", "Chain ID: 1\nVersion: 1\n"),
    "optional fields in another order": lambda m, c: m + f"\nNot Before: {at()}\nExpiration Time: {at(hours=1)}",
    "an address without its checksum": lambda m, c: "\n".join(
        line.lower() if number == 1 else line for number, line in enumerate(m.split("\n"))
    ),
    "an address in capitals": lambda m, c: "\n".join(
        "0x" + line[2:].upper() if number == 1 else line for number, line in enumerate(m.split("\n"))
    ),
    "an address that is too short": lambda m, c: "\n".join(
        line[:-1] if number == 1 else line for number, line in enumerate(m.split("\n"))
    ),
    "no empty line before the uri": lambda m, c: m.replace("\n\nURI", "\nURI"),
    "an empty line too many": lambda m, c: m.replace("\n\nURI", "\n\n\nURI"),
    "a space at the end of a line": lambda m, c: m.replace("Version: 1", "Version: 1 "),
    "two spaces after a name": lambda m, c: m.replace("URI: ", "URI:  "),
    "a name in lower case": lambda m, c: m.replace("Chain ID", "chain id"),
    "a null byte": lambda m, c: m + "\0",
    "resources that are no uris": lambda m, c: m + "\nResources:\n- nowhere",
    "a field that is left out": lambda m, c: m.replace("Chain ID: 1\n", ""),
    "a message that is too long": lambda m, c: m + "\nResources:" + "\n- https://a.example/" * 300,
}


@pytest.mark.parametrize("name", TEXTS)
async def test_a_text_that_the_grammar_does_not_make(name: str, wallet: Wallet, http: httpx.AsyncClient) -> None:
    """Hazard: two readers of one text, of which one shows people another meaning. Each is truly signed."""
    challenge = await wallet.challenge(http)
    message = TEXTS[name](good := wallet.message(challenge), challenge)
    assert message != good
    assert_refused(await attempt(http, message, wallet.sign(message)), "malformed_message")
    assert (await attempt(http, good, wallet.sign(good))).status_code == 200, "and its nonce is still good"


def parts(signature: str) -> tuple[int, int, int]:
    """Return r, s and v."""
    raw = bytes.fromhex(signature[2:])
    return int.from_bytes(raw[:32]), int.from_bytes(raw[32:64]), raw[64]


def joined(r: int, s: int, v: int) -> str:
    """Return the signature of these parts."""
    return "0x" + (r.to_bytes(32) + s.to_bytes(32) + bytes([v])).hex()


def high_s(signature: str) -> str:
    """Return the other signature that the same key and message have: valid, but nobody's wallet makes it."""
    r, s, v = parts(signature)
    return joined(r, ORDER - s, 55 - v)


def compact(signature: str) -> str:
    """Return the 64 bytes of EIP-2098."""
    r, s, v = parts(signature)
    return "0x" + (r.to_bytes(32) + (s | (v - 27) << 255).to_bytes(32)).hex()


SIGNATURES: dict[str, Callable[[str], str]] = {
    "s in the upper half": high_s,
    "the other v": lambda s: joined(*parts(s)[:2], 55 - parts(s)[2]),
    "v of 29": lambda s: joined(*parts(s)[:2], 29),
    "v of 2": lambda s: joined(*parts(s)[:2], 2),
    "v of a chain (EIP-155)": lambda s: joined(*parts(s)[:2], 37),
    "the compact form": compact,
    "64 bytes": lambda s: s[:-2],
    "66 bytes": lambda s: s + "1b",
    "no prefix": lambda s: s[2:],
    "another prefix": lambda s: "0X" + s[2:],
    "white space within": lambda s: s[:10] + " " + s[10:-1],
    "no hexadecimal": lambda s: s[:-1] + "g",
    "digits of another script": lambda s: s[:-1] + "\u0661",
    "r of zero": lambda s: joined(0, *parts(s)[1:]),
    "s of zero": lambda s: joined(parts(s)[0], 0, parts(s)[2]),
    "r of the order": lambda s: joined(ORDER, *parts(s)[1:]),
    "r that is no point of the curve": lambda s: joined(5, *parts(s)[1:]),
    "another r": lambda s: joined(parts(s)[0] ^ 1, *parts(s)[1:]),
    "zeros alone": lambda s: "0x" + "00" * 65,
    "of a contract wallet": lambda s: "0x" + "ab" * 200,
}


@pytest.mark.parametrize("name", SIGNATURES)
async def test_a_signature_that_no_wallet_makes(name: str, wallet: Wallet, http: httpx.AsyncClient) -> None:
    message = wallet.message(await wallet.challenge(http))
    response = await attempt(http, message, SIGNATURES[name](wallet.sign(message)))
    assert_refused(response, "signature_invalid")
    again = await attempt(http, message, wallet.sign(message))
    assert_refused(again, "nonce_invalid")


async def test_a_high_s_would_pass_where_nobody_looks_at_it(wallet: Wallet) -> None:
    """What the forgery above is worth: the library of the wallet itself takes it."""
    from eth_account.messages import encode_defunct

    signable = encode_defunct(text="x")
    assert Account.recover_message(signable, signature=high_s(wallet.sign("x"))) == wallet.address


@pytest.mark.parametrize("v", [0, 1])
async def test_v_without_the_offset_is_as_good(v: int, wallet: Wallet, http: httpx.AsyncClient) -> None:
    message = wallet.message(await wallet.challenge(http))
    while parts(wallet.sign(message))[2] != 27 + v:
        message = wallet.message(await wallet.challenge(http))
    r, s, found = parts(wallet.sign(message))
    assert (await attempt(http, message, joined(r, s, found - 27))).status_code == 200


async def test_a_nonce_counts_once_of_fifty_at_the_same_time(
    wallet: Wallet, http: httpx.AsyncClient, running: Deployment
) -> None:
    message = wallet.message(await wallet.challenge(http))
    signature = wallet.sign(message)
    limits = httpx.Limits(max_connections=50)
    async with httpx.AsyncClient(
        base_url=running.public, timeout=30, trust_env=False, verify=False, limits=limits
    ) as many:
        found = await asyncio.gather(*(attempt(many, message, signature) for _ in range(50)))
    assert sorted(response.status_code for response in found) == [200] + [401] * 49
    assert {response.json()["code"] for response in found if response.status_code == 401} == {"nonce_invalid"}
    [session] = [response.json()["session"] for response in found if response.status_code == 200]
    headers = {"authorization": f"Bearer {session}"}
    assert len((await http.get(f"{AUTH}/sessions", headers=headers)).json()["sessions"]) == 1


async def test_the_signature_of_another_message(wallet: Wallet, http: httpx.AsyncClient) -> None:
    first, second = [wallet.message(await wallet.challenge(http)) for _ in range(2)]
    assert_refused(await attempt(http, first, wallet.sign(second)), "signature_invalid")


async def test_the_statement_or_the_resources_altered_after_the_signature(
    wallet: Wallet, http: httpx.AsyncClient
) -> None:
    challenge = await wallet.challenge(http)
    signed = wallet.message(challenge, resources="https://a.example/1 ipfs://b")
    altered = signed.replace("https://a.example/1", "https://a.example/2")
    assert_refused(await attempt(http, altered, wallet.sign(signed)), "signature_invalid")
    challenge = await wallet.challenge(http)
    signed = wallet.message(challenge, statement="I agree to nothing.")
    assert_refused(await attempt(http, wallet.message(challenge), wallet.sign(signed)), "signature_invalid")


async def test_the_address_of_another_developer(wallet: Wallet, http: httpx.AsyncClient, operator: Operator) -> None:
    victim = Wallet()
    await operator.add(victim)
    message = victim.message(await wallet.challenge(http))
    assert_refused(await attempt(http, message, wallet.sign(message)), "signature_invalid")


async def test_the_wallet_of_a_stranger_and_of_a_suspended_developer(
    wallet: Wallet, http: httpx.AsyncClient, running: Deployment, operator: Operator
) -> None:
    stranger = await Wallet().sign_in(http)
    assert (stranger.status_code, stranger.json()["code"]) == (403, "sign_up_closed")
    app = await builder_app(running, http)
    invited = await Wallet().sign_in(http, await operator.invite(app.client_id))
    assert (invited.status_code, invited.json()["code"]) == (403, "invite_invalid"), "closed is closed"
    developer = await operator.find(wallet)
    assert developer is not None
    await operator.suspend(developer.developer_id)
    suspended = await wallet.sign_in(http)
    assert (suspended.status_code, suspended.json()["code"]) == (403, "developer_suspended")


async def test_messages_that_are_as_good_as_the_plain_one(wallet: Wallet, http: httpx.AsyncClient) -> None:
    """What the grammar allows and nobody has to forbid."""
    variants: list[Callable[[Challenge], dict[str, str | None]]] = [
        lambda c: {"domain": f"http://{c['domain']}"},
        lambda c: {"uri": c["uri"] + "/portal?next=%2F#top"},
        lambda c: {"chain_id": "42161"},
        lambda c: {"expiration_time": at(hours=1), "not_before": at(hours=-1), "request_id": "a:b@c"},
        lambda c: {"issued_at": c["issued_at"]},
        lambda c: {"resources": "https://a.example/x?y=z ipfs://bafy/"},
        lambda c: {"issued_at": at(seconds=10), "request_id": ""},
    ]
    for changed in variants:
        challenge = await wallet.challenge(http)
        message = wallet.message(challenge, **changed(challenge))
        response = await attempt(http, message, wallet.sign(message))
        assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    "body",
    [{}, [], None, {"message": "a"}, {"message": 1, "signature": "0x"}, {"message": "", "signature": ""}],
)
async def test_a_body_without_message_and_signature(body: Any, http: httpx.AsyncClient) -> None:
    response = await http.post(LOGIN, json=body)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_parameter")
