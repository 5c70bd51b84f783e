"""What a plan says of live video: the defaults of its streams, and payments for it by a remote signer."""

import json
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from config.base import Model, Whole


def _as_json(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters if a gateway can be sent them; YAML has more types than JSON, dates above all."""
    try:
        json.dumps(parameters, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise ValueError("must be what JSON has: text, numbers, lists, mappings; put dates in quotes") from None
    return parameters


class Live(Model):
    """Defaults of a plan's live streams; what a client says itself comes first."""

    pipeline: str | None = Field(None, description="Pipeline of streams that name none.")
    parameters: Annotated[dict[str, Any], AfterValidator(_as_json)] = Field(
        {}, description="Default pipeline parameters of every stream."
    )


Wei = Annotated[int, Field(ge=1, le=2**63 - 1), Whole]


class MaxPrices(Model):
    """A plan's price ceilings, by the kind of payment; the unit of each is fixed by the signer."""

    live: Wei | None = Field(None, description="Wei for a second of `live` work; none: no ceiling.")
    lv2v: Wei | None = Field(None, description="Wei for a 720p pixel-second of `lv2v` work; none: no ceiling.")
    fixed: Wei | None = Field(None, description="Wei for one `fixed` payment; none: no ceiling.")


class Signing(Model):
    """What a plan says of payments by a remote signer."""

    max_price: MaxPrices = Field(MaxPrices(), description="The most that an orchestrator may charge, in wei.")
