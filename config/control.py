"""The control plane's surfaces on the public listener."""

from pydantic import Field

from config.base import Model


class ControlSettings(Model):
    """Limits of requests to `/api/v1/...` and `/.well-known/...`, apart from those of the pipeline."""

    requests_per_minute: int = Field(
        600,
        ge=1,
        le=1_000_000,
        description="Requests that one client address (IPv6: one /64 network) may send in 60 s to each worker.",
    )
    max_body_bytes: int = Field(
        1024 * 1024, ge=1_024, le=64 * 1024 * 1024, description="Largest request body, in bytes."
    )
    body_seconds: float = Field(10, gt=0, le=300, description="Time a client has to send its request body.")
