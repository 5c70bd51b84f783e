"""Hazard: a machine loses power, and a file that was relied on is under no name on its disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from config.control import IssuerSettings
from middlewares.durable_files import sync
from proxy.control.sealed_secrets import SealedSecrets
from proxy.identity.issuer_keys import IssuerKeys


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was brought to the disk, and which names stood in a folder when it was."""
    found, fsync = list[str](), os.fsync

    def noted(file: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{file}"))
        found.extend(f"{path.name}/{each.name}" for each in path.iterdir()) if path.is_dir() else None
        fsync(file)

    monkeypatch.setattr(os, "fsync", noted)
    return found


def test_the_names_in_a_folder_are_brought_to_the_disk(tmp_path: Path, synced: list[str]) -> None:
    (tmp_path / "file").touch()
    sync(tmp_path)
    assert synced == [f"{tmp_path.name}/file"]
    with pytest.raises(FileNotFoundError):
        sync(tmp_path / "none")


def test_the_key_of_sealed_secrets_has_its_name_on_the_disk(tmp_path: Path, synced: list[str]) -> None:
    secrets = SealedSecrets(tmp_path / "data")
    assert secrets.open(secrets.seal("secret")) == "secret"
    assert "issuer/webhooks.key" in synced


def test_the_signing_keys_have_their_name_on_the_disk(tmp_path: Path, synced: list[str]) -> None:
    IssuerKeys.open(tmp_path, IssuerSettings()).rotate(IssuerSettings(), 0)
    assert any(each.startswith("issuer/") and each.endswith(".json") for each in synced), synced
