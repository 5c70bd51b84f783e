"""The sessions of segment push: which manifests run, and with which renditions (CONTRACT.md section 1.5)."""

import asyncio
from typing import Any

from proxy.mock_gateway.gateway import Gateway, Manifest, Newest

IDLE = 60.0
"""Seconds without a segment after which a manifest's session is gone."""
DEFAULT_PRESETS = ["P240p30fps16x9", "P360p30fps16x9"]
RESOLUTIONS = {
    "P144p30fps16x9": "256x144",
    "P240p30fps16x9": "426x240",
    "P360p30fps16x9": "640x360",
    "P576p30fps16x9": "1024x576",
    "P720p30fps16x9": "1280x720",
}


def find(gateway: Gateway, manifest: str) -> Manifest | None:
    """Return a manifest's running session, also by the id that a configuration gave it."""
    session = gateway.manifests.get(gateway.aliases.get(manifest, manifest))
    idle = session is not None and asyncio.get_running_loop().time() - session.last_used > IDLE
    return None if idle else session


def join(gateway: Gateway, manifest: str, config: dict[str, Any]) -> Manifest:
    """Return the manifest's session, new or joined: the namespace is global."""
    now = asyncio.get_running_loop().time()
    session = find(gateway, manifest)
    if session is None:
        inner = str(config.get("manifestid") or manifest)
        session = find(gateway, inner) or Manifest(config["renditions"], Newest(), now)
        gateway.manifests[inner] = session
        if inner != manifest:
            gateway.aliases[manifest] = inner
    session.last_used = now
    return session


def renditions_of(config: dict[str, Any]) -> list[tuple[str, str]]:
    """Return name and resolution of each rendition of a configuration, else of the default presets."""
    presets = [name for name in config.get("presets", []) if isinstance(name, str) and name in RESOLUTIONS]
    renditions = [(name, RESOLUTIONS[name]) for name in presets]
    for profile in config.get("profiles", []):
        if not isinstance(profile, dict):
            raise ValueError("json: cannot unmarshal profile")
        resolution = f"{profile.get('width', 0)}x{profile.get('height', 0)}"
        name = str(profile.get("name") or "") or f"webhook_{resolution}_{profile.get('bitrate', 0)}"
        renditions.append((name, resolution))
    return renditions or [(name, RESOLUTIONS[name]) for name in DEFAULT_PRESETS]
