"""The extra `stripe`, and secrets of payment providers: what is said where something is missing or cannot be used."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from importlib.util import find_spec

from config.loader import Problem
from config.payments import PaymentProvider
from config.settings import Settings


def payment_problems(settings: Settings) -> list[Problem]:
    """Return what is wrong with payments that the configuration asks for."""
    return list(_problems(settings))


def secret_of(provider: PaymentProvider) -> str:
    """Return the signing secret of a provider. Raises `OSError` and `ValueError` for a file that cannot be read."""
    if provider.secret is not None:
        return provider.secret.get_secret_value()
    assert provider.secret_file is not None  # noqa: S101 - one of the two is given
    return provider.secret_file.read_text(encoding="utf-8-sig").strip()


def _problems(settings: Settings) -> Iterator[Problem]:
    stripe = settings.payments.stripe
    if (stripe.secret_key or stripe.webhook_secret) and find_spec("stripe") is None:
        yield Problem("payments.stripe", 'needs stripe; install the extra: pip install "naap-tollgate[stripe]"')
    for name, provider in settings.payments.providers.items():
        path = f"payments.providers.{name}.secret{'' if provider.secret else '_file'}"
        try:
            usable = len(base64.b64decode(secret_of(provider).removeprefix("whsec_"), validate=True)) >= 16
        except OSError as error:
            yield Problem(path, f"cannot be read: {error.strerror}")
        except (binascii.Error, ValueError):
            yield Problem(path, "must be `whsec_` and base64")
        else:
            if not usable:
                yield Problem(path, "must have 16 bytes or more")
