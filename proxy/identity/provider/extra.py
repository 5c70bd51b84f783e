"""The extra `oidc`: what only sign-in at a provider needs, and what is said where it is missing."""

from __future__ import annotations

from importlib.util import find_spec

from config.loader import Problem
from config.settings import Settings

_PACKAGES = ("authlib", "httpx2")


def provider_problems(settings: Settings) -> list[Problem]:
    """Return what is wrong where people are to sign in at a provider and nothing could speak with it."""
    missing = [each for each in _PACKAGES if find_spec(each) is None] if settings.portal.oidc.issuer else []
    if not missing:
        return []
    reason = f'needs {" and ".join(missing)}; install the extra: pip install "naap-tollgate[oidc]"'
    return [Problem("portal.oidc", reason)]
