"""Settings of transcoding: the renditions of pushed segments, and how their duration is found."""

import json
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from config.base import Model, check_distinct


class TranscodingProfile(Model):
    """One rendition, with the properties of a go-livepeer profile."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] = Field(
        description="Name of the rendition in responses and playlists."
    )
    width: int = Field(ge=16, le=8192, description="Width in pixels.")
    height: int = Field(ge=16, le=8192, description="Height in pixels.")
    bitrate: int = Field(ge=1, le=10**9, description="Bits per second.")
    fps: int = Field(0, ge=0, le=240, description="Frames per second; 0: as many as the source has.")
    fps_denominator: int = Field(
        1, ge=1, le=1001, description="Divisor of `fps`: 30000 / 1001 is 29.97 frames per second."
    )
    profile: Literal["", "h264baseline", "h264main", "h264high", "h264constrainedhigh"] = Field(
        "", description="H.264 profile; empty: the gateway's choice."
    )
    gop: str = Field(
        "", pattern=r"^(|intra|\d{1,4}(\.\d{1,3})?)$", description="Seconds between key frames, or `intra`; empty: any."
    )

    def as_gateway(self) -> dict[str, Any]:
        """Return the profile as go-livepeer writes it in JSON (gateway contract section 3)."""
        properties = {
            "name": self.name,
            "width": self.width,
            "height": self.height,
            "bitrate": self.bitrate,
            "fps": self.fps,
            "fpsDen": self.fps_denominator,
            "profile": self.profile,
            "gop": self.gop,
        }
        return {name: value for name, value in properties.items() if value != ""}


class Transcoding(Model):
    """Transcoding and metering of a plan's pushed segments."""

    profiles: tuple[TranscodingProfile, ...] = Field(
        (), description="Renditions made of every segment; none: the gateway's own `-transcodingOptions`."
    )
    trust_content_duration: bool = Field(
        False,
        description="Bill by the client's `Content-Duration` where neither a segment nor its renditions can be "
        "measured; otherwise such a segment is estimated by its size, as 2 s at least, which is what the gateway takes "
        "it for.",
    )

    @field_validator("profiles")
    @classmethod
    def _different(cls, profiles: tuple[TranscodingProfile, ...]) -> tuple[TranscodingProfile, ...]:
        check_distinct([profile.name for profile in profiles], "has the same name")
        return profiles

    @cached_property
    def configuration(self) -> bytes:
        """The value of `Livepeer-Transcode-Configuration` for these profiles (gateway contract section 3)."""
        profiles = [profile.as_gateway() for profile in self.profiles]
        return json.dumps({"profiles": profiles}, separators=(",", ":")).encode()
