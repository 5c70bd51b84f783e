"""A week of requests that two tenants might have sent. Pure: the same for the same moment."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from config.workloads import Unit, Workload

DAYS = 7
_DAY_MS = 86_400_000
_HOUR_MS = 3_600_000
_IMAGE_SIDES = (512, 768, 1_024)
_OUTCOMES = (("complete", 200, 200), ("client_disconnect", 0, 200), ("upstream_error", 502, 500))
_WEIGHTS = (94, 3, 3)


@dataclass(frozen=True, slots=True)
class PastRequest:
    """A request that has ended. Times are Unix milliseconds."""

    time_ms: int
    duration_ms: int
    tenant: int
    """Which of the tenants has sent it."""
    who: int
    """Which of the tenant's keys it came with."""
    workload: Workload
    model: str
    outcome: str
    status: int
    """HTTP status the client was sent; 0: none."""
    gateway_status: int
    units: Mapping[Unit, int]


def past_requests(now_ms: int, per_day: int = 40) -> list[PastRequest]:
    """Return the requests of the last seven days, and of today until now, the oldest first."""
    choice = random.Random(2_026)  # noqa: S311 - traffic to look at, no secret
    begin = (now_ms // _DAY_MS - DAYS) * _DAY_MS
    found: list[PastRequest] = []
    for day in range(DAYS + 1):
        count = per_day + choice.randrange(per_day // 2) + day * 3
        hours = choice.choices(range(24), [1 if hour < 7 else 4 if hour < 20 else 2 for hour in range(24)], k=count)
        times = [begin + day * _DAY_MS + hour * _HOUR_MS + choice.randrange(_HOUR_MS) for hour in hours]
        found += [_request(choice, each) for each in times]
    return sorted((each for each in found if each.time_ms < now_ms), key=lambda each: each.time_ms)


def _request(choice: random.Random, time_ms: int) -> PastRequest:
    workload = choice.choices((Workload.TEXT_TO_IMAGE, Workload.LLM, Workload.AUDIO_TO_TEXT), (5, 4, 1))[0]
    [(outcome, status, gateway_status)] = choice.choices(_OUTCOMES, _WEIGHTS)
    model, units = _MAKERS[workload](choice)
    done = outcome == "complete"
    return PastRequest(
        time_ms=time_ms,
        duration_ms=choice.randrange(300, 9_000),
        tenant=choice.randrange(2),
        who=choice.randrange(4),
        workload=workload,
        model=model,
        outcome=outcome,
        status=status,
        gateway_status=gateway_status,
        units={Unit.REQUESTS: 1, **(units if done else {})},
    )


def _image(choice: random.Random) -> tuple[str, Mapping[Unit, int]]:
    side, images = choice.choice(_IMAGE_SIDES), choice.choice((1, 1, 1, 2, 4))
    model = choice.choice(("stabilityai/sdxl-turbo", "stabilityai/sdxl-turbo", "black-forest-labs/FLUX.1-dev"))
    return model, {Unit.PIXELS: side * side * images, Unit.GENERATIONS: images}


def _chat(choice: random.Random) -> tuple[str, Mapping[Unit, int]]:
    units = {Unit.INPUT_TOKENS: choice.randrange(20, 2_400), Unit.OUTPUT_TOKENS: choice.randrange(5, 900)}
    return "meta-llama/Meta-Llama-3.1-8B-Instruct", units


def _sound(choice: random.Random) -> tuple[str, Mapping[Unit, int]]:
    return "openai/whisper-large-v3", {Unit.MILLISECONDS: choice.randrange(4_000, 600_000)}


_MAKERS = {Workload.TEXT_TO_IMAGE: _image, Workload.LLM: _chat, Workload.AUDIO_TO_TEXT: _sound}
