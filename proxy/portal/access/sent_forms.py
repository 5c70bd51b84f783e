"""Forms that may be sent once: a page that is loaded again sends the form that led to it again."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from redis.exceptions import RedisClusterException, RedisError

from middlewares.exchange import Refusal
from proxy.control.records import Client, UnknownRecord

FORM_ID_FIELD = "form_id"
_SECONDS = 3_600
_BEGUN, _DONE = "begun", "done"
_ID = re.compile(r"[A-Za-z0-9_-]{16}")


class FormRepeated(Refusal):
    """The form was sent before."""

    def __init__(self, page: str, *, done: bool) -> None:
        """`page` is the path of the page that shows what the form has made; `done` is False where that is not known."""
        detail = (
            "It was done once. What is shown only once, such as a new key, is not shown again."
            if done
            else "Whether it was done is not known: look, and send it from its page again if it was not."
        )
        super().__init__(409, "form_repeated", detail)
        self.page = page


def new_form_id() -> str:
    """Return the id of one form on one page."""
    return secrets.token_urlsafe(12)


class SentForms:
    """Remembers the forms that each session has sent, for an hour."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @asynccontextmanager
    async def once(self, session_id: str, form_id: str, page: str) -> AsyncIterator[None]:
        """Let what a form asks for be done once. Raises `FormRepeated` the second time, and `Refusal` without an id.

        A form that is refused changed nothing: it may be corrected, and sent again. Of one that failed otherwise, or is
        still on its way, nobody knows.
        """
        if not _ID.fullmatch(form_id):
            raise Refusal(400, "malformed_form", "The form has no id; load its page again.")
        name = f"tollgate:form-sent:{{{session_id}}}:{form_id}"
        if not await self._client.set(name, _BEGUN, ex=_SECONDS, nx=True):
            raise FormRepeated(page, done=await self._client.get(name) == _DONE.encode())
        try:
            yield
        except (Refusal, UnknownRecord) as error:
            if not isinstance(error, Refusal) or error.status < 500:
                await self._client.delete(name)
            raise
        with suppress(RedisError, RedisClusterException):  # what was done is shown all the same
            await self._client.set(name, _DONE, ex=_SECONDS)
