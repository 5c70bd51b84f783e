"""Settings of the processes that measure uploaded sounds."""

from __future__ import annotations

from pydantic import Field

from config.base import Model


class MediaSettings(Model):
    """How uploads are measured by FFmpeg, outside the worker."""

    processes: int = Field(1, ge=1, le=64, description="Probe processes per worker; they start when first needed.")
    cpu_seconds: float = Field(
        20,
        gt=0,
        le=600,
        description="CPU time for one upload or rendition; what was counted by then is a lower bound, and the duration "
        "that the file claims another one.",
    )
    memory_bytes: int = Field(
        512 * 2**20, ge=128 * 2**20, le=2**36, description="Address space of each probe process, in bytes."
    )
    spool_bytes: int = Field(
        2**30,
        ge=0,
        le=2**40,
        description="Bytes of all uploads and renditions that a worker keeps until they are measured; beyond it they "
        "are estimated.",
    )
