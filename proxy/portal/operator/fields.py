"""The fields of the forms of operators, as operations take them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from config.base import plain_words
from middlewares.exchange import Refusal
from middlewares.response.redaction import mask
from proxy.api.admin.operations.errors import ActRefused
from proxy.portal.words import capitalize_first

_DEVELOPER_ID = re.compile("dev_[a-z2-7]{16}")

Body = TypeVar("Body", bound=BaseModel)


def document_of(kind: type[Body], members: Mapping[str, Any]) -> Body:
    """Return what an operation takes. Raises `Refusal` (400), which names the fields and repeats none of them."""
    try:
        return kind.model_validate(members)
    except ValidationError as error:
        wrong = [(".".join(map(str, each["loc"])), plain_words(each["msg"])) for each in error.errors()]
        detail = "; ".join(f"{name}: {reason}" if name else reason for name, reason in wrong)
        raise Refusal(400, "invalid_parameter", f"{mask(capitalize_first(detail))}.") from None


def refusal_of(error: ActRefused) -> Refusal:
    """Return the refusal of an act as pages show it."""
    return Refusal(error.status, error.code, f"{capitalize_first(mask(str(error)))}.")


def developer_id_of(text: str) -> str:
    """Return `text` if it is a developer id. Raises `Refusal` (400); the text may be a secret, and is not repeated."""
    if not _DEVELOPER_ID.fullmatch(text):
        raise Refusal(400, "invalid_parameter", "Developer id: expected dev_ and 16 characters.")
    return text
