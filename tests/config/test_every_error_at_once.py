"""An operator who runs `tollgate check` sees everything that is wrong, each with its exact path."""

import pytest

from config.loader import load
from tests.config.conftest import Problems, Write

EVERYTHING_WRONG = """
listen: "8080"
admin_listen: 127.0.0.1:99999
gateway_url: http://127.0.0.1:9935/path
workers: none
walrus: 1
currency: {code: ETH}
plans:
  gold:
    billing: usage
    currency: USD
    surprise: 1
    limits:
      app: {requests_per_minute: 0, caps: [{unit: pixels, max: 5}, {unit: furlongs, per: day, max: 1}]}
      nobody: {}
    prices:
      - {unit: pixels, amount: -1}
      - {unit: pixels, amount: 1, each: 2}
    fee: 5
  silver:
    prices: [{unit: pixels, amount: 1}]
routing:
  pools: {main: {gateways: [{url: "ftp://host"}], sticky: true}}
  timeouts: {knitting: {connect: 1}, llm: {connect: 0}}
edge:
  trusted_proxies: [10.0.0.0/8, everybody]
  cors: {allow_origins: ["https://app.example/"], allow_headers: ["a b"]}
auth:
  issuers: [{audience: a}, {issuer: i, audience: a, algorithms: [HS256], jwks_url: "http://keys.example/", app: x}]
store: {deadline_seconds: soon}
log: {level: loud}
drain: 5
"""


def test_every_error_is_named_with_its_path(problems: Problems, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOLLGATE_WALRUS", "1")
    found = problems(EVERYTHING_WRONG)
    for path, words in {
        "TOLLGATE_WALRUS": "is not a setting",
        "listen": "host:port",
        "admin_listen": "at most 65535",
        "gateway_url": "an origin only",
        "workers": "valid integer",
        "walrus": "is not a setting",
        "plans.gold.currency": "is USD, but the deployment counts in ETH",
        "plans.gold.surprise": "is not a setting",
        "plans.gold.limits.app.requests_per_minute": "greater than 0",
        "plans.gold.limits.app.caps.0.per": "is missing",
        "plans.gold.limits.app.caps.1.unit": "'pixels'",
        "plans.gold.limits.nobody": "is not a setting",
        "plans.gold.prices.0.amount": "greater than or equal to 0",
        "plans.gold.prices.1.each": "is not a setting",
        "plans.gold.fee": "billing model `subscription`",
        "plans.silver.prices": "a free plan has no prices",
        "routing.pools.main.gateways.0.url": "http://host:port",
        "routing.pools.main.sticky": "is not a setting",
        "routing.timeouts.knitting": "'text-to-image'",
        "routing.timeouts.llm.connect": "greater than 0",
        "edge.trusted_proxies.1": "IPv4 or IPv6 network",
        "edge.cors.allow_origins.0": "as browsers send it",
        "edge.cors.allow_headers.0": "name of a header",
        "auth.issuers.0.issuer": "is missing",
        "auth.issuers.1.algorithms.0": "'RS256'",
        "auth.issuers.1.jwks_url": "https URL",
        "store.deadline_seconds": "valid number",
        "log.level": "'debug'",
        "drain": "must be a mapping",
    }.items():
        assert words in found.pop(path), path
    assert found == {}


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("workers: 1.5", "workers", "valid integer"),
        ("workers: 0", "workers", "greater than or equal to 1"),
        ("listen: 8080", "listen", "must be text"),
        ("listen: 127.0.0.1", "listen", "host:port"),
        ("listen: ':8080'", "listen", "host:port"),
        ("data_dir: [1]", "data_dir", "path"),
        ("plans: []", "plans", "must be a mapping"),
        ("plans: {no: {}}", "plans.0", "put it in quotes"),
        ("plans: {'a b': {}}", "plans.a b", "must match pattern"),
        ("plans: {a: {fee: true}}", "plans.a.fee", "whole number"),
        ("plans: {a: {tier: 'No Tier'}}", "plans.a.tier", "must match pattern"),
        ("edge: {trusted_proxies: [10.0.0.1/8]}", "edge.trusted_proxies.0", "host bits set"),
        ("edge: {trusted_proxies: [10]}", "edge.trusted_proxies.0", "such as 10.0.0.0/8"),
        ("edge: {cors: {allow_origins: 'https://a.example'}}", "edge.cors.allow_origins", "must be a list"),
        ("edge: {cors: {allow_origins: [app.example]}}", "edge.cors.allow_origins.0", "https://app.example"),
        ("edge: {cors: {allow_origins: ['https://App.example']}}", "edge.cors.allow_origins.0", "lower case"),
        ("auth: {issuers: [{issuer: i, audience: a, app: x}]}", "auth.issuers.0", "`jwks_file` and `jwks_url`"),
        (
            "auth: {issuers: [{issuer: i, audience: a, jwks_url: 'https://k/', app: x, app_claim: y}]}",
            "auth.issuers.0",
            "`app` and `app_claim`",
        ),
        (
            "auth: {issuers: [{issuer: 'https://i', audience: a, app: x, plan_claim: p}]}",
            "auth.issuers.0",
            "give `plans`",
        ),
        (
            "auth: {issuers: [{issuer: 'https://i', audience: a, app: x, plan_claim: p, plans: [gold]}]}",
            "auth.issuers.0",
            "no plan 'gold'",
        ),
        (
            "auth: {issuers: [{issuer: 'https://i', audience: a, app: x, tier: gold}]}",
            "auth.issuers.0",
            "no tier 'gold'",
        ),
        (
            "auth: {issuers: [{issuer: 'https://i', audience: a, app: x, tiers: [premium]}]}",
            "auth.issuers.0",
            "`tiers` has no meaning",
        ),
        (
            "auth: {issuers: [{issuer: 'https://i', audience: a, app: x, jwks_url: 'http://localhost:x@keys.example/'}]}",
            "auth.issuers.0.jwks_url",
            "https URL",
        ),
        (
            "auth: {issuers: [{issuer: 'https://i', audience: a, app: x}, {issuer: 'https://i', audience: a, app: y}]}",
            "auth.issuers.1",
            "same issuer and audience",
        ),
        ("_env_file: x", "_env_file", "is not a setting"),
        ("3: x", "3", "is not a setting"),
    ],
)
def test_one_error(problems: Problems, text: str, path: str, words: str) -> None:
    found = problems(text)
    assert list(found) == [path]
    assert words in found[path]


@pytest.mark.parametrize("written", ["", "~", '""', "[]", "3", '"a\\0b"'])
def test_a_data_dir_that_is_no_path_is_not_the_working_directory(problems: Problems, written: str) -> None:
    assert problems(f"data_dir: {written}") == {"data_dir": "must be the path of a folder"}


def test_one_address_for_both_listeners_fails_before_the_server_does(problems: Problems, write: Write) -> None:
    found = problems("listen: 127.0.0.1:9090")
    assert found == {"admin_listen": "is the address of `listen`, too; choose another port"}
    load(write("listen: 127.0.0.1:0\nadmin_listen: 127.0.0.1:0\n"))
