"""What the API takes and returns about checkouts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, Field, StringConstraints, model_validator

from proxy.api.models import RequestBody, printable


def _page(url: str) -> str:
    parts = urlsplit(printable(url))
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.username:
        raise ValueError("must be an http or https URL")
    return url


PageUrl = Annotated[str, Field(max_length=2_000), AfterValidator(_page)]


class NewCheckout(RequestBody):
    """What a customer is to pay for: an amount of credits, or a subscription that brings some with each payment."""

    amount: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,38}$")] | None = Field(
        None, description="Credits in atomic units."
    )
    subscription: Annotated[str, Field(max_length=64)] | None = Field(
        None, description="Name of a subscription that the operator offers."
    )
    user: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(
        None, description="User id or external id of the user whose own wallet gets them; null: the wallet of the app."
    )
    success_url: PageUrl | None = Field(None, description="Page to which a customer comes back who has paid.")
    cancel_url: PageUrl | None = Field(None, description="Page to which one comes back who has not.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.amount is None) == (self.subscription is None):
            raise ValueError("give either amount or subscription")
        return self


class CheckoutView(BaseModel):
    """A page on which a customer pays."""

    id: str
    url: str
    expires_at: datetime
