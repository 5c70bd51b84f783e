"""A browser without scripts: keeps cookies, follows redirections, and sends the forms that pages have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import httpx

from middlewares.auth.keys import pepper_of
from proxy.control.developers.developers import Developers
from proxy.control.developers.memberships import Memberships
from proxy.control.developers.records import MemberRole
from proxy.control.developers.sign_in_links import SIGN_IN_PATH, SignInLinks
from proxy.portal.access.sent_forms import new_form_id
from tests.support.deployment import Deployment
from tests.support.wallet import Wallet

_NEW = re.compile(r'nonce="[^"]*"|name="form_id" value="[^"]*"')


class _Reader(HTMLParser):
    """Collects the texts, links and forms of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.links: list[str] = []
        self.forms: list[tuple[str, str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        members = dict(attrs)
        self.tags.append((tag, members))
        if tag == "a" and members.get("href"):
            self.links.append(members["href"] or "")
        if tag == "form":
            self.forms.append(((members.get("method") or "get").upper(), members.get("action") or ""))

    def handle_data(self, data: str) -> None:
        """Note a text."""
        if data.strip():
            self.texts.append(" ".join(data.split()))


def read_page(response: httpx.Response) -> _Reader:
    """Return what a page holds."""
    reader = _Reader()
    reader.feed(response.text)
    reader.close()
    return reader


@dataclass(frozen=True, slots=True)
class Browser:
    """A browser at the portal of a deployment."""

    http: httpx.AsyncClient
    origin: str

    async def get(self, path: str, **params: str) -> httpx.Response:
        """Load a page, without following a redirection."""
        return await self.http.get(path, params=params or None)

    async def page(self, path: str, **params: str) -> httpx.Response:
        """Load a page, which must be there."""
        response = await self.get(path, **params)
        assert response.status_code == 200, f"{path}: {response.status_code} {response.text}"
        return response

    async def shown(self, path: str) -> str:
        """Return a page without what is new in each response: nonces, and ids of forms."""
        return _NEW.sub("", (await self.page(path)).text)

    async def form_token(self) -> str:
        """Return the token of this session's forms."""
        match = re.search(r'name="form_token" value="([0-9a-f]{64})"', (await self.page("/portal/sessions")).text)
        assert match
        return match[1]

    async def post(self, path: str, **fields: str) -> httpx.Response:
        """Send a form as one of our own pages does, with an id that it was not sent with before."""
        own = {"form_token": await self.form_token(), "form_id": new_form_id()}
        return await self.send(path, {**own, **fields})

    async def send(self, path: str, fields: dict[str, str], headers: dict[str, Any] | None = None) -> httpx.Response:
        """Send a form, with the headers of a browser at our own page unless others are given."""
        own = {"origin": self.origin, "sec-fetch-site": "same-origin"}
        return await self.http.post(path, data=fields, headers=own if headers is None else headers)


OPEN: list[Browser] = []
"""Browsers that are to be closed with the deployment."""


def new_browser(deployment: Deployment) -> Browser:
    """Return a browser that is not signed in."""
    http = httpx.AsyncClient(
        base_url=deployment.public, timeout=30, trust_env=False, verify=False, headers={"user-agent": "Firefox <b>"}
    )
    browser = Browser(http, deployment.public)
    OPEN.append(browser)
    return browser


async def developer_of(deployment: Deployment, roles: Mapping[str, MemberRole] | None = None) -> str:
    """Create a developer with a role in each of these apps; return its id."""
    async with deployment.store() as store:
        developer, _ = await Developers(store.redis).create(Wallet().address)
        for app, role in (roles or {}).items():
            await Memberships(store.redis).put(app, developer.developer_id, role)
    return developer.developer_id


async def link_for(deployment: Deployment, developer: str, seconds: int = 900) -> str:
    """Return the path of a sign-in link."""
    pepper = pepper_of(deployment.settings.auth)
    async with deployment.store() as store:
        _, secret = await SignInLinks(store.redis, pepper).create(developer, timedelta(seconds=seconds))
    return SIGN_IN_PATH + secret


async def signed_in(deployment: Deployment, developer: str) -> Browser:
    """Return a browser in which a developer is signed in."""
    browser = new_browser(deployment)
    response = await browser.send(await link_for(deployment, developer), {})
    assert (response.status_code, response.headers["location"]) == (303, "/portal"), response.text
    return browser


def text_of(response: httpx.Response) -> str:
    """Return the text of a page, as a person reads it."""
    return " ".join(read_page(response).texts)


def as_shown(amount: int) -> str:
    """Return atomic units of the default currency as pages write them, to the unit."""
    whole, rest = divmod(amount, 10**18)
    return f"{whole:,}.{rest:018d}".rstrip("0").rstrip(".") + " ETH"
