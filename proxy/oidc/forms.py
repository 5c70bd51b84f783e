"""Forms of OAuth requests, and refusals in OAuth's words."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import parse_qsl

from starlette.requests import Request

from middlewares.exchange import Refusal

_FORM = "application/x-www-form-urlencoded"
_MOST_FIELDS = 50
SUBJECT_TOKEN_INVALID = "subject_token_invalid"  # noqa: S105 - a code
"""Code of the refusal of a credential that was presented for exchange."""

Form = Mapping[str, str]


def oauth_refusal(error: str, detail: str, status: int = 400) -> Refusal:
    """Return a refusal whose document has OAuth's members, too (RFC 6749 section 5.2)."""
    return in_oauth_words(Refusal(status, error, detail))


def subject_refusal(detail: str, code: str = SUBJECT_TOKEN_INVALID) -> Refusal:
    """Return the refusal of a `subject_token`: whatever is wrong with it, OAuth's word is one (RFC 8693 section 2.2.2).

    `code` says more.
    """
    members = oauth_refusal("invalid_request", detail).members
    return Refusal(400, code, detail, members=members)


def in_oauth_words(refusal: Refusal) -> Refusal:
    """Return the refusal with OAuth's members, its code as the `error`."""
    members = {**refusal.members, "error": refusal.code, "error_description": refusal.detail}
    return Refusal(refusal.status, refusal.code, refusal.detail, headers=refusal.headers, members=members)


async def read_form(request: Request) -> Form:
    """Return the fields of the body. Raises `Refusal` for another media type, and for a field that is sent twice.

    A field without a value counts as left out (RFC 6749 section 3.2).
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip(" \t").lower()
    if kind != _FORM:
        raise oauth_refusal("invalid_request", f"The body must be of the type {_FORM}.")
    try:
        pairs = parse_qsl(
            (await request.body()).decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"
        )
    except ValueError:
        raise oauth_refusal("invalid_request", "The body is not a form in UTF-8.") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise oauth_refusal("invalid_request", "A field was sent more than once.")
    return {name: value for name, value in form.items() if value}


def required(form: Form, name: str) -> str:
    """Return a field. Raises `Refusal` where it is missing."""
    if name not in form:
        raise oauth_refusal("invalid_request", f"The field {name} is missing.")
    return form[name]


def chosen_scopes(form: Form, allowed: Collection[str], default: Collection[str]) -> frozenset[str]:
    """Return the requested scopes, else the default ones. Raises `Refusal` for one that is not allowed."""
    requested = frozenset(form.get("scope", "").split(" ")) - {""}
    if not requested <= frozenset(allowed):
        raise oauth_refusal("invalid_scope", f"The scope may name {', '.join(sorted(allowed))}, and nothing else here.")
    return requested or frozenset(default)
