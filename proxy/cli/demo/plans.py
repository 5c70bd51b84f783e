"""The plans of the demo: the built-in one that newcomers get, with prices, and one that is paid in advance."""

from __future__ import annotations

from typing import Any

STANDARD = "standard"
PREPAID = "studio"

_FLUX, _SDXL = "black-forest-labs/FLUX.1-dev", "stabilityai/sdxl-turbo"
_LLAMA = "meta-llama/Meta-Llama-3.1-8B-Instruct"
_PRICES = [
    {"workload": "text-to-image", "model": _FLUX, "unit": "pixels", "amount": "96000000000000", "per": 1_048_576},
    {"workload": "text-to-image", "model": _SDXL, "unit": "pixels", "amount": "48000000000000", "per": 1_048_576},
    {"workload": "text-to-image", "unit": "pixels", "amount": "48000000000000", "per": 1_048_576},
    {"workload": "llm", "model": _LLAMA, "unit": "input_tokens", "amount": "60000000000", "per": 1_000},
    {"workload": "llm", "model": _LLAMA, "unit": "output_tokens", "amount": "90000000000", "per": 1_000},
    {"workload": "llm", "unit": "input_tokens", "amount": "60000000000", "per": 1_000},
    {"workload": "llm", "unit": "output_tokens", "amount": "90000000000", "per": 1_000},
    {"workload": "audio-to-text", "unit": "seconds", "amount": "1500000000"},
    {"workload": "live-video-to-video", "unit": "seconds", "amount": "220000000000"},
]

PLANS: dict[str, Any] = {
    STANDARD: {
        "tier": "standard",
        "billing": "usage",
        "prices": _PRICES,
        "limits": {"app": {"requests_per_minute": 60, "requests_per_day": 20_000, "concurrent": 5}},
        "maxima": {"image_side": 2_048, "images": 4, "prompt_bytes": 16_384},
        "max_tokens": {"default": 1_024, "max": 4_096},
    },
    PREPAID: {
        "tier": "standard",
        "billing": "credits",
        "prices": _PRICES,
        "limits": {
            "app": {
                "requests_per_minute": 300,
                "concurrent": 20,
                "caps": [{"unit": "amount", "per": "month", "max": "500000000000000000"}],
            },
            "user": {"requests_per_day": 2_000},
        },
        "maxima": {"image_side": 4_096, "images": 10},
        "max_tokens": {"default": 1_024, "max": 8_192},
    },
}
"""Plans as the configuration has them; amounts are in atomic units of the default currency."""
