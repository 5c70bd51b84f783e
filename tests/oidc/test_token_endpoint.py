"""Hazards of a token endpoint: clients that are not who they say, secrets sent twice, scopes that grow."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import jwt
import pytest

from tests.support.builder import ACCESS_TOKEN, API_KEY, TOKEN, TOKEN_EXCHANGE, BuilderApp, bearer, builder_app
from tests.support.deployment import Deployment

pytestmark = pytest.mark.asyncio(loop_scope="package")
FORM = "application/x-www-form-urlencoded"
GRANT = {"grant_type": "client_credentials"}


def basic(client_id: str, secret: str) -> dict[str, str]:
    """Return Basic credentials, each part form-encoded in full, as RFC 6749 section 2.3.1 wants it."""
    escaped = ("".join(f"%{byte:02X}" for byte in part.encode()) for part in (client_id, secret))
    return {"authorization": "Basic " + base64.b64encode(":".join(escaped).encode()).decode()}


async def test_a_token_is_signed_by_the_published_key_and_says_for_whom_it_is(app: BuilderApp) -> None:
    discovery = (await app.http.get("/.well-known/openid-configuration")).json()
    issuer = f"{str(app.http.base_url).rstrip('/')}/api/v1/oidc"
    assert discovery["issuer"] == issuer
    assert discovery == (await app.http.get(f"{issuer}/.well-known/openid-configuration")).json()
    keys = jwt.PyJWKSet.from_dict((await app.http.get(discovery["jwks_uri"])).json())
    token = await app.token("read users:token")
    header = jwt.get_unverified_header(token)
    assert (header["alg"], header["typ"]) == ("ES256", "at+jwt")
    claims = jwt.decode(token, keys[header["kid"]].key, ["ES256"], audience=issuer, issuer=issuer)
    assert (claims["sub"], claims["client_id"], claims["scope"]) == (app.client_id, app.client_id, "read users:token")
    assert claims["exp"] - claims["iat"] == 3_600


async def test_discovery_names_only_endpoints_that_exist(app: BuilderApp) -> None:
    discovery = (await app.http.get("/.well-known/openid-configuration")).json()
    for name, url in discovery.items():
        if name.endswith(("_endpoint", "_uri")):
            method = "GET" if name == "jwks_uri" else "POST"
            assert (await app.http.request(method, url)).status_code not in (404, 405), name
    assert "authorization_endpoint" not in discovery


async def test_clients_of_oauth_find_the_issuer_where_rfc_8414_puts_it(app: BuilderApp) -> None:
    """Hazard: a client that knows OAuth alone computes the address from the issuer, and finds nothing there."""
    found = await app.http.get("/.well-known/oauth-authorization-server/api/v1/oidc")
    assert found.status_code == 200
    assert found.json() == (await app.http.get("/.well-known/openid-configuration")).json()


async def test_no_private_half_is_published(app: BuilderApp) -> None:
    for key in (await app.http.get("/api/v1/oidc/jwks")).json()["keys"]:
        assert not key.keys() & {"d", "p", "q", "dp", "dq", "qi", "k"}


async def test_secrets_are_taken_by_basic_and_by_form(app: BuilderApp) -> None:
    by_basic = await app.http.post(TOKEN, data=GRANT, headers=basic(app.client_id, app.secret))
    assert by_basic.status_code == 200
    assert by_basic.json()["scope"] == "read"
    plain = await app.http.post(TOKEN, data=GRANT, auth=app.basic)
    assert plain.status_code == 200


@pytest.mark.parametrize(
    ("fields", "headers", "status", "error"),
    [
        ({}, {}, 400, "invalid_request"),
        ({"grant_type": "password"}, {}, 400, "unsupported_grant_type"),
        (GRANT, {}, 401, "invalid_client"),
        ({**GRANT, "client_id": "ID"}, {}, 401, "invalid_client"),
        ({**GRANT, "client_id": "ID", "client_secret": "tgs_no"}, {}, 401, "invalid_client"),
        ({**GRANT, "client_id": "app_aaaaaaaaaaaaaaaa", "client_secret": "SECRET"}, {}, 401, "invalid_client"),
        ({**GRANT, "client_id": "../app", "client_secret": "SECRET"}, {}, 401, "invalid_client"),
        ({**GRANT, "client_id": "ID", "client_secret": "SECRET", "scope": "root"}, {}, 400, "invalid_scope"),
        ({**GRANT, "client_id": "ID", "client_secret": "SECRET"}, {"authorization": "BASIC"}, 400, "invalid_request"),
        ({**GRANT, "client_id": "app_other"}, {"authorization": "BASIC"}, 400, "invalid_request"),
        (GRANT, {"authorization": "Basic !"}, 401, "invalid_client"),
        (GRANT, {"authorization": "Bearer a"}, 401, "invalid_client"),
        ({"grant_type": TOKEN_EXCHANGE}, {}, 400, "invalid_request"),
    ],
)
async def test_what_is_refused_is_refused_in_oauths_words(
    app: BuilderApp, fields: dict[str, str], headers: dict[str, str], status: int, error: str
) -> None:
    values = {"ID": app.client_id, "SECRET": app.secret}
    data = {name: values.get(value, value) for name, value in fields.items()}
    sent = basic(app.client_id, app.secret) if headers.get("authorization") == "BASIC" else headers
    response = await app.http.post(TOKEN, data=data, headers={"content-type": FORM, **sent})
    document = response.json()
    assert (response.status_code, document["error"], document["code"]) == (status, error, error)
    assert document["error_description"] == document["detail"]
    assert document["request_id"] == response.headers["x-request-id"]
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    assert (response.headers.get("www-authenticate", "").partition(" ")[0] == "Basic") == (status == 401)
    assert app.secret not in response.text


@pytest.mark.parametrize("sent", [b"\xff\xfe", "ä:ä".encode(), b"\x80"])
async def test_basic_credentials_beyond_ascii_are_wrong_and_no_error_of_ours(app: BuilderApp, sent: bytes) -> None:
    headers = [(b"authorization", b"Basic " + sent)]
    for response in (
        await app.http.post(TOKEN, data=GRANT, headers=headers),
        await app.http.get(f"{app.path}/users", headers=headers),
    ):
        assert (response.status_code, response.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"grant_type":"client_credentials"}', "application/json"),
        (b"grant_type=client_credentials&grant_type=client_credentials", FORM),
        (b"grant_type=%ff", FORM),
        (b"a&" * 100, FORM),
    ],
)
async def test_a_body_that_could_be_read_in_two_ways_is_no_request(app: BuilderApp, body: bytes, kind: str) -> None:
    response = await app.http.post(TOKEN, content=body, headers={"content-type": kind}, auth=app.basic)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


async def exchange(app: BuilderApp, path: str = TOKEN, **fields: str) -> httpx.Response:
    return await app.http.post(path, data={"grant_type": TOKEN_EXCHANGE, **fields})


async def test_an_api_key_becomes_a_token_that_may_do_no_more_and_ends_with_it(
    app: BuilderApp, running: Deployment
) -> None:
    """Hazard: a narrowed key exchanged for a token that is not."""
    user = await app.user("ann")
    created = await app.http.post(f"{app.path}/users/ann/keys", json={"workloads": ["llm"]}, auth=app.basic)
    key, key_id = created.json()["key"], created.json()["key_id"]
    for path in (TOKEN, f"{app.path}/oidc/token"):
        response = await exchange(
            app,
            path,
            subject_token=key,
            subject_token_type=API_KEY,
            requested_token_type="urn:pmth:token-type:remote-signer-session",
        )
        document = response.json()
        assert (response.status_code, document["scope"], document["expires_in"]) == (200, "sign:job", 900)
        token = bearer(document["access_token"])
        claims = jwt.decode(document["access_token"], options={"verify_signature": False})
        assert (claims["sub"], claims["key_id"], claims["external_user_id"]) == (user, key_id, "ann")
        chat = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}
        assert (await app.http.post("/llm", json=chat, headers=token)).status_code == 200
        image = await app.http.post("/text-to-image", json={"model_id": "m", "prompt": "p"}, headers=token)
        assert (image.status_code, image.json()["code"]) == (403, "insufficient_scope")
    events = await running.settled(2, app.client_id)
    assert [event["key"] for event in events] == [key_id] * 2
    await app.http.delete(f"{app.path}/users/ann/keys/{key_id}", auth=app.basic)
    refused = await exchange(app, subject_token=key, subject_token_type=API_KEY)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")


async def test_a_token_of_a_user_is_exchanged_for_an_equivalent_one_by_its_app_alone(
    app: BuilderApp, running: Deployment
) -> None:
    user = await app.user("ann")
    token = await app.user_token(user)
    fields: dict[str, Any] = {
        "grant_type": TOKEN_EXCHANGE,
        "subject_token": token,
        "subject_token_type": ACCESS_TOKEN,
    }
    response = await app.form(TOKEN, **fields)
    assert (response.status_code, response.json()["issued_token_type"]) == (200, ACCESS_TOKEN)
    old, new = (
        jwt.decode(each, options={"verify_signature": False}) for each in (token, response.json()["access_token"])
    )
    assert {name: old[name] for name in old.keys() - {"iat", "exp", "jti"}} == {
        name: new[name] for name in new.keys() - {"iat", "exp", "jti"}
    }
    assert (await exchange(app, subject_token=token, subject_token_type=ACCESS_TOKEN)).status_code == 400
    other = await builder_app(running, app.http)
    foreign = await other.form(TOKEN, **fields)
    assert (foreign.status_code, foreign.json()["error"]) == (400, "invalid_request")
    admin = await app.form(TOKEN, **{**fields, "subject_token": await app.token()})
    assert (admin.status_code, admin.json()["error"]) == (400, "invalid_request")
    grown = await app.form(TOKEN, **fields, scope="admin")
    assert (grown.status_code, grown.json()["error"]) == (400, "invalid_scope")


async def test_a_key_of_another_app_is_nothing_at_an_apps_own_endpoint(app: BuilderApp, running: Deployment) -> None:
    other = await builder_app(running, app.http)
    key = await running.key(other.client_id)
    response = await exchange(app, f"{app.path}/oidc/token", subject_token=key, subject_token_type=API_KEY)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
    mixed = await app.http.post(
        f"{app.path}/oidc/token",
        data={"grant_type": TOKEN_EXCHANGE, "subject_token": key, "subject_token_type": API_KEY},
        auth=other.basic,
    )
    assert (mixed.status_code, mixed.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("resource", "urn:pmth:device_code:ABC", "invalid_target"),
        ("audience", "https://elsewhere.example", "invalid_target"),
        ("actor_token", "a", "invalid_request"),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token", "invalid_request"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:saml2", "invalid_request"),
    ],
)
async def test_what_an_exchange_does_not_do_it_refuses(app: BuilderApp, name: str, value: str, error: str) -> None:
    fields = {"subject_token": "tgk_a", "subject_token_type": API_KEY, name: value}
    response = await exchange(app, **fields)
    assert (response.status_code, response.json()["error"]) == (400, error)
