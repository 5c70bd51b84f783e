"""Live video-to-video: what gateways ask about, and what a plan's streams start with."""

from typing import Any

from pydantic import Field, SecretStr, field_validator

from config.base import Model


class Webhooks(Model):
    """What gateways ask on the private listener: whether a stream may begin, and whether it may go on."""

    secret: SecretStr | None = Field(
        None, description="What gateways show of it, 16 characters or more. None: no webhook is answered."
    )
    tick_seconds: float = Field(
        5, gt=0, le=60, description="The gateways' `-liveAIHeartbeatInterval`: one tick is paid for in advance."
    )
    gap_seconds: float = Field(
        30, gt=0, le=600, description="The longest silence that a live stream is taken to have lived through."
    )
    rtmp_transcoding: bool = Field(
        False, description="Let customers transcode by RTMP. Nothing tells how much: it is neither metered nor charged."
    )

    @field_validator("secret")
    @classmethod
    def _long(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and len(secret.get_secret_value()) < 16:
            raise ValueError("must have 16 characters or more")
        return secret


class Live(Model):
    """What live streams of a plan start with; what a client says itself comes first."""

    pipeline: str | None = Field(None, description="The pipeline of a stream that names none.")
    parameters: dict[str, Any] = Field({}, description="Pipeline parameters of every stream.")
