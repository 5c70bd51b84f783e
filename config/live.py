"""Settings of live video-to-video: the gateways' webhooks, and the defaults of a plan's streams."""

from typing import Any

from pydantic import Field, SecretStr, field_validator

from config.base import Model


class WebhookSettings(Model):
    """Webhooks on the private listener, by which gateways ask whether a live stream may begin and may go on."""

    secret: SecretStr | None = Field(
        None, description="Secret that gateways have to send, 16 characters or more. None: every webhook is refused."
    )
    tick_seconds: float = Field(
        5, gt=0, le=60, description="The gateways' `-liveAIHeartbeatInterval`: one tick is paid for in advance."
    )
    gap_seconds: float = Field(
        30,
        gt=0,
        le=600,
        description="Longest time between two heartbeats that is charged; after a longer one the stream had paused.",
    )
    rtmp_transcoding: bool = Field(
        False,
        description="Allow transcoding by RTMP. Gateways report no usage of it: it is neither metered nor charged.",
    )

    @field_validator("secret")
    @classmethod
    def _long(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and len(secret.get_secret_value()) < 16:
            raise ValueError("must have 16 characters or more")
        return secret


class Live(Model):
    """Defaults of a plan's live streams; what a client says itself comes first."""

    pipeline: str | None = Field(None, description="Pipeline of streams that name none.")
    parameters: dict[str, Any] = Field({}, description="Default pipeline parameters of every stream.")
