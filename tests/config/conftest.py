"""Fixtures for a configuration file and an environment without variables of Tollgate."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from config.environment import PREFIX
from config.loader import ConfigError, load

Write = Callable[[str], Path]
Problems = Callable[[str], dict[str, str]]


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove variables of Tollgate from the environment."""
    for name in os.environ:
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a configuration file and returns its path."""

    def write(text: str) -> Path:
        path = tmp_path / "tollgate.yaml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def problems(write: Write) -> Problems:
    """Return a function that loads a wrong configuration and returns its messages by path, each path once."""

    def problems(text: str) -> dict[str, str]:
        with pytest.raises(ConfigError) as caught:
            load(write(text))
        found = {problem.path: problem.message for problem in caught.value.problems}
        assert len(found) == len(caught.value.problems), caught.value
        return found

    return problems
