"""Changes by a form that may be older than the record: what a person has changed in it is sent on, and nothing else.

The form carries what its fields were filled with (`m.filled_with` in its template).
"""

from __future__ import annotations

from collections.abc import Mapping

from middlewares.exchange import Refusal
from proxy.portal.access.forms import Fields, Mistake

FILLED_WITH = "was-"
"""What the name of a hidden field has before that of the field whose first value it keeps."""
_LONGEST_VALUE = 100


def edited(fields: Fields, values: Fields, names: Mapping[str, str]) -> set[str]:
    """Return the fields that were changed in the form: those of `values`, which has what would stand in them now.

    A field that was not filled by a form of ours counts as changed. Raises `Refusal` (409) where one was changed by
    somebody else, too; it calls the field as `names` does.
    """
    found = {name for name in values if not _is_untouched(name, fields)}
    overtaken = [
        name
        for name in values
        if name in found
        and (before := fields.get(FILLED_WITH + name)) is not None
        and _plain(values[name]) not in (_plain(before), _plain(fields.get(name, "")))
    ]
    if overtaken:
        now = ", ".join(f"{names[name]} (now {_shortened(values[name])})" for name in overtaken)
        raise Refusal(409, "changed_meanwhile", f"Somebody else has changed this meanwhile: {now}.")
    return found


def merged(mistake: Mistake | None, values: Fields) -> dict[str, str]:
    """Return what the fields of a form have in them: `values`, or what was changed in the form with a mistake."""
    if mistake is None:
        return dict(values)
    sent = mistake.fields
    return {name: value if _is_untouched(name, sent) else sent.get(name, "") for name, value in values.items()}


def _is_untouched(name: str, fields: Fields) -> bool:
    before = fields.get(FILLED_WITH + name)
    return before is not None and _plain(before) == _plain(fields.get(name, ""))


def _plain(text: str) -> str:
    """Return a value without what browsers do to it on its way."""
    return text.replace("\r\n", "\n").strip()


def _shortened(value: str) -> str:
    text = " ".join(value.split())
    return (text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…") or "empty"
