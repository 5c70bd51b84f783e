"""A configuration file and an environment of one's own for each test."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from config.loader import ConfigError, load
from config.settings import PREFIX

Write = Callable[[str], Path]
Problems = Callable[[str], dict[str, str]]


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine's environment says of Tollgate is not heard."""
    for name in os.environ:
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a configuration file and returns its path."""

    def write(text: str) -> Path:
        path = tmp_path / "tollgate.yaml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def problems(write: Write) -> Problems:
    """What is wrong with a configuration: messages by path. Every path is named once."""

    def problems(text: str) -> dict[str, str]:
        with pytest.raises(ConfigError) as caught:
            load(write(text))
        found = {problem.path: problem.message for problem in caught.value.problems}
        assert len(found) == len(caught.value.problems), caught.value
        return found

    return problems
