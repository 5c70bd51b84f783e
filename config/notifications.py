"""Settings of `notifications`: webhooks that Tollgate sends to apps and to the operator."""

from typing import Annotated

from pydantic import Field

from config.access import Network
from config.base import Model


class NotificationSettings(Model):
    """Notifications: which, how early, and where to. Endpoints are registered by API or command."""

    networks: tuple[Network, ...] = Field(
        (), description="Networks that are not public and may receive webhooks all the same."
    )
    endpoints: int = Field(10, ge=1, le=1_000, description="Most endpoints of one app, and of the operator.")
    thresholds: tuple[Annotated[int, Field(ge=1, le=100)], ...] = Field(
        (50, 80, 100),
        max_length=20,
        description="Percent of a cap or a key's spend limit to notify of.",
    )
    forecast_hours: int = Field(
        24,
        ge=0,
        le=720,
        description="Notify an app that a cap or a balance, used as in the last hour, ends within so many hours; 0: "
        "never.",
    )
    key_expiring_days: int = Field(
        7, ge=0, le=365, description="Days before its end at which an app is notified of an expiring key; 0: never."
    )
    stream_idle_seconds: int = Field(
        30, ge=5, le=3_600, description="Seconds without anything charged after which a live stream counts as idle."
    )
    keep_days: int = Field(
        90, ge=40, le=3_650, description="Days for which deliveries are kept, for their list and for replays."
    )
