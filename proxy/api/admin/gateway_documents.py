"""What the admin API takes and returns about gateways."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from proxy.api.models import RequestBody

GatewayUrl = Annotated[str, Field(max_length=2_000)]


class GatewayChoice(RequestBody):
    """A gateway by its origin."""

    gateway: GatewayUrl = Field(description="Its origin, as in the configuration.")


class GatewayDocument(BaseModel):
    """A gateway, and whether it gets new work."""

    gateway: str
    pools: list[str] = Field(description="Empty: it is not in the configuration any more.")
    drained: bool = Field(description="True: it gets no new work, but what it alone has.")
    drained_since: datetime | None


class GatewayChange(GatewayDocument):
    """A gateway after a change."""

    changed: bool = Field(description="False: it was so before.")


class GatewayList(BaseModel):
    """The gateways of the configuration, and others that are drained still, by origin."""

    items: list[GatewayDocument]
