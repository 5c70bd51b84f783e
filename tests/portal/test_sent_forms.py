"""What a form that is sent again is told. Hazard: it was done once, where Redis went away before anything was done."""

from __future__ import annotations

from typing import Any, cast

import pytest
from redis.exceptions import ConnectionError as RedisAway
from starlette.requests import Request

from middlewares.exchange import Exchange, Refusal
from middlewares.store import StoreError
from proxy.control.records import Client
from proxy.history.store import HistoryUnavailable
from proxy.portal.access.sent_forms import FormRepeated, SentForms, new_form_id
from tests.portal.test_forms import served_application


class Names:
    """Names of Redis with values; `away`: it does not respond."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.away = False

    async def set(self, name: str, value: str, *, ex: int, nx: bool = False) -> bool | None:
        """Write a value."""
        self._respond()
        if nx and name in self.values:
            return None
        self.values[name] = value.encode()
        return True

    async def get(self, name: str) -> bytes | None:
        """Return a value."""
        self._respond()
        return self.values.get(name)

    async def delete(self, name: str) -> None:
        """Delete a name."""
        self._respond()
        self.values.pop(name, None)

    def _respond(self) -> None:
        if self.away:
            raise RedisAway("Redis is away")


async def told(forms: SentForms, form: str) -> str:
    """Send a form again; return what it is refused with."""
    with pytest.raises(FormRepeated) as found:
        async with forms.once("s", form, "/portal"):
            raise AssertionError
    return found.value.detail


@pytest.mark.parametrize("error", [RedisAway("Redis is away"), Refusal(503, "store_unavailable", "Redis is away.")])
async def test_what_went_wrong_on_the_way_is_not_called_done(error: Exception) -> None:
    names, form = Names(), new_form_id()
    forms = SentForms(cast("Client", names))
    with pytest.raises(type(error)):
        async with forms.once("s", form, "/portal"):
            raise error
    detail = await told(forms, form)
    assert ("done once" in detail, "not known" in detail) == (False, True)


async def test_what_was_done_is_done_and_what_was_refused_may_be_sent_again() -> None:
    names, form = Names(), new_form_id()
    forms = SentForms(cast("Client", names))
    with pytest.raises(Refusal):
        async with forms.once("s", form, "/portal"):
            raise Refusal(400, "invalid_parameter", "No.")
    async with forms.once("s", form, "/portal"):
        assert "not known" in await told(forms, form), "a second click, while the first is on its way"
    assert "It was done once." in await told(forms, form)


async def test_what_was_done_is_shown_where_redis_goes_away_behind_it() -> None:
    """Hazard: a secret that is shown once is lost, because the note that it was shown could not be written."""
    names, form = Names(), new_form_id()
    async with SentForms(cast("Client", names)).once("s", form, "/portal"):
        names.away = True
    names.away = False
    assert "not known" in await told(SentForms(cast("Client", names)), form)


async def test_an_outage_of_the_history_is_not_called_one_of_redis() -> None:
    handler: Any = served_application().exception_handlers[StoreError]
    exchange = Exchange("r", 0.0, "POST", "/portal")
    request = Request({"type": "http", "method": "POST", "headers": [], "tollgate.exchange": exchange})
    text = bytes((await handler(request, HistoryUnavailable("away"))).body).decode()
    assert ("The history is unavailable. Whether" in text, "Redis" in text) == (True, False)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_outage_says_what_it_means_for_what_was_sent(method: str) -> None:
    handler: Any = served_application().exception_handlers[RedisAway.__mro__[1]]
    exchange = Exchange("r", 0.0, method, "/portal")
    request = Request({"type": "http", "method": method, "headers": [], "tollgate.exchange": exchange})
    text = bytes((await handler(request, RedisAway("Redis is away"))).body).decode()
    assert ("Whether the form was taken is not known" in text) == (method == "POST")
    assert ("What this page shows cannot be read" in text) == (method == "GET")
