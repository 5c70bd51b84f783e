"""What the builder API takes and returns: each in both spellings, the tutorial's and that of pymthouse's own client."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic.config import JsonDict

from config.base import no_truth_for_a_number
from middlewares.auth.records import UserRecord
from middlewares.auth.user_fields import EMAIL, LONGEST_EMAIL, LONGEST_EXTERNAL_ID, is_email


def printable(text: str) -> str:
    """Return `text` if it has no control characters. Raises `ValueError`."""
    if not text.isprintable():
        raise ValueError("must have no control characters")
    return text


def matching(pattern: str, words: str) -> AfterValidator:
    """Return the annotation of text that matches `pattern` as a whole; `words` tell a person what it must be."""
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(words)
        return text

    return AfterValidator(check)


def _email(text: str) -> str:
    if not is_email(printable(text)):
        raise ValueError("must be an email address")
    return text


def _given(name: str) -> JsonDict:
    """Return the schema of a body that has this member, and not null."""
    return {"required": [name], "properties": {name: {"type": "string"}}}


ExternalId = Annotated[str, Field(min_length=1, max_length=LONGEST_EXTERNAL_ID), AfterValidator(printable)]
Email = Annotated[
    str, Field(max_length=LONGEST_EMAIL, json_schema_extra={"pattern": f"^{EMAIL.pattern}$"}), AfterValidator(_email)
]
UserStatus = Literal["active", "suspended", "inactive"]
ShortText = Annotated[str, Field(max_length=100), AfterValidator(printable)]


class RequestBody(BaseModel):
    """A body as clients send it; members that are not known are ignored."""

    model_config = ConfigDict(hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        return no_truth_for_a_number(cls, value, info.field_name or "")


class UserChange(RequestBody):
    """What may be changed of a user; what is left out, or null, stays."""

    email: Email | None = None
    status: UserStatus | None = Field(None, description="`suspended`, or `inactive`: all its credentials are refused.")

    @property
    def record_status(self) -> Literal["active", "suspended"] | None:
        """Return the status as records have it."""
        return "suspended" if self.status == "inactive" else self.status


class NewUser(UserChange):
    """A user to create, or to find by its external id."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [_given("external_id"), _given("externalUserId")]})

    external_id: ExternalId | None = Field(None, description="The app's own id of the user, unique within the app.")
    externalUserId: ExternalId | None = Field(None, description="The same, in another spelling.")  # noqa: N815

    @model_validator(mode="after")
    def _one_id(self) -> Self:
        if not self.external_id and not self.externalUserId:
            raise ValueError("external_id (or externalUserId) is required")
        if self.external_id and self.externalUserId and self.external_id != self.externalUserId:
            raise ValueError("external_id and externalUserId name different users")
        return self

    @property
    def name(self) -> str:
        """Return the external id."""
        return self.external_id or self.externalUserId or ""


class UserView(BaseModel):
    """A user of an app."""

    user_id: str = Field(description="Letters, digits, `_` and `-` only.")
    external_id: str
    id: str
    clientId: str  # noqa: N815
    externalUserId: str  # noqa: N815
    email: str | None
    status: Literal["active", "suspended"]
    createdAt: datetime  # noqa: N815

    @classmethod
    def of(cls, user: UserRecord) -> Self:
        """Return the view of a record."""
        return cls(
            user_id=user.user_id,
            external_id=user.external_id,
            id=user.user_id,
            clientId=user.app,
            externalUserId=user.external_id,
            email=user.email,
            status=user.status,
            createdAt=user.created_at,
        )


class UserPage(BaseModel):
    """Users by user id."""

    users: list[UserView]
    next: str | None = Field(description="`after` of the next page; null: this is the last one.")


class UserTokenRequest(RequestBody):
    """What the token of a user is for."""

    scope: str = Field("sign:job", max_length=200, description="`inference`, `sign:job`, or both.")


class UserToken(BaseModel):
    """A token of a user."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - a token type
    expires_in: int = Field(description="Seconds.")
    scope: str
    subject_type: Literal["app_user"] = "app_user"
    correlation_id: str
