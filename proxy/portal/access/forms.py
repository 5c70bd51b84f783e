"""Forms as browsers send them: from our own pages, or refused."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request

from config.origins import USUAL_PORTS
from middlewares.exchange import Refusal

TOKEN_FIELD = "form_token"  # noqa: S105 - the name of a field
_TYPE = "application/x-www-form-urlencoded"
USER_FIELD = "user"
"""Name of the field for a user id or external id, to which spaces around it may belong."""
_MOST_FIELDS = 40

Fields = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Mistake:
    """A form that was refused for what stands in it, and is shown again to be corrected."""

    detail: str
    """Why it was refused."""
    fields: Fields
    """What was sent."""
    field: str = ""
    """Name of the field that is wrong, beside which `detail` is shown; empty: it is shown above the page."""


class FieldRefused(Refusal):
    """One field of a form names nothing, or what cannot be; the page says so beside it."""

    def __init__(self, field: str, status: int, code: str, detail: str) -> None:
        super().__init__(status, code, detail)
        self.field = field


class FilterRefused(FieldRefused):
    """A field of a page's filter names nothing, or what cannot be; the page shows its filter again."""

    def __init__(self, field: str, detail: str, status: int = 400) -> None:
        """`status` is 404 for what may have been there."""
        super().__init__(field, status, "unknown_id" if status == 404 else "invalid_parameter", detail)


def typed(mistake: Mistake | None, values: Fields) -> dict[str, str]:
    """Return what the fields of a form have in them: `values`, or what was sent with a mistake."""
    return dict(values) if mistake is None else {name: mistake.fields.get(name, "") for name in values}


def single_spaced(text: str) -> str:
    """Return a text as browsers show it: with one space in the place of several, and none around it."""
    return " ".join(text.split())


def check_typed_name(fields: Fields, name: str, act: str) -> None:
    """Raise `Refusal` (400) unless `name` was typed, as browsers show it, to confirm an `act` that is final."""
    if single_spaced(fields.get("name", "")) != name:
        raise Refusal(400, "name_mismatch", f"Type {name} to {act}; nothing was changed.")


def check_same_origin(request: Request, origin: str) -> None:
    """Raise `Refusal` (403) unless the browser says that a page of `origin` sent the form.

    `Sec-Fetch-Site` and `Origin` are written by browsers, not by pages. One of them has to be there, and whichever is
    there has to agree.
    """
    site, sent = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is None and sent is None:
        raise form_refused("The browser does not say which page has sent the form.")
    if site not in (None, "same-origin") or sent not in (None, spelled_by_browsers(origin)):
        raise form_refused(f"The form was sent from another page. The portal is at {origin}/portal.")


def spelled_by_browsers(origin: str) -> str:
    """Return an origin as browsers send it (RFC 6454): in lower case, in ASCII, and without the usual port."""
    parts = urlsplit(origin)
    host = parts.hostname or ""
    with suppress(UnicodeError):  # of what no browser reaches either
        host = host.encode("idna").decode()
    name = f"[{host}]" if ":" in host else host
    usual = parts.port in (None, USUAL_PORTS.get(parts.scheme))
    return f"{parts.scheme}://{name}" if usual else f"{parts.scheme}://{name}:{parts.port}"


def form_refused(detail: str) -> Refusal:
    """Return the refusal of a form that may be forged."""
    return Refusal(403, "form_refused", detail)


async def read_fields(request: Request) -> Fields:
    """Return the fields of the form, without spaces around their values, but that of a user. Raises `Refusal` (400)."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _TYPE:
        raise Refusal(400, "malformed_form", f"The form must be of the type {_TYPE}.")
    try:
        text = (await request.body()).decode()
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
    except ValueError:
        raise Refusal(400, "malformed_form", "The form is not in UTF-8, or has too many fields.") from None
    fields = {name: value if name == USER_FIELD else value.strip() for name, value in pairs}
    if len(fields) != len(pairs):
        raise Refusal(400, "malformed_form", "A field was sent more than once.")
    return fields
