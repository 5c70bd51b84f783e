"""Reads file and environment into `Settings` and reports every error at once, each with its path."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, SecretStr, ValidationError

from config.settings import Settings

PREFIX = "TOLLGATE_"
CONFIG_VARIABLE = "TOLLGATE_CONFIG"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in the configuration: where, and what to do about it."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class ConfigError(Exception):
    """The configuration cannot be used; `problems` names everything that is wrong with it."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(map(str, problems)))


def load(path: Path | None = None) -> Settings:
    """Settings from the file at `path` (else `TOLLGATE_CONFIG`, else none) overlaid by the environment.

    Raises `ConfigError` with every problem found. Values of secrets are never part of a message.
    """
    named = path or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)
    document, problems = _read(named) if named else ({}, [])
    problems += _unknown_variables(os.environ)
    secrets, unreadable = _secret_files(os.environ)
    problems += unreadable
    try:
        settings = Settings(**_merge(document, secrets))
    except ValidationError as error:
        raise ConfigError(problems + [_problem(dict(item)) for item in error.errors(include_input=False)]) from None
    except ValueError as error:  # an environment variable that should hold JSON and does not
        raise ConfigError([*problems, Problem("environment", str(error))]) from None
    if problems:
        raise ConfigError(problems)
    return settings


def _read(path: Path) -> tuple[dict[str, Any], list[Problem]]:
    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        return {}, [Problem(str(path), f"cannot be read: {error.strerror}")]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        return {}, [Problem(str(path), f"is not valid YAML: {str(error).splitlines()[0]}{_position(error)}")]
    if document is None:
        return {}, []
    if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
        return {}, [Problem(str(path), "must be a mapping of setting names to values")]
    return document, []


def _position(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    return f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""


def _problem(item: dict[str, Any]) -> Problem:
    path = ".".join(str(part) for part in item["loc"]) or "settings"
    if item["type"] == "extra_forbidden":
        return Problem(path, "is not a setting; remove it or correct its name")
    return Problem(path, item["msg"].removeprefix("Value error, "))


def _leaves(model: type[BaseModel], prefix: str = "") -> dict[str, bool]:
    """Environment names of all settings below `model`; True where the value is a secret."""
    found: dict[str, bool] = {}
    for name, field in model.model_fields.items():
        variable = prefix + name.upper()
        found[variable] = SecretStr in getattr(field.annotation, "__args__", (field.annotation,))
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found |= _leaves(field.annotation, variable + "__")
    return found


def secret_variables() -> set[str]:
    """Names of the environment variables that may also be given as `<NAME>_FILE`."""
    return {PREFIX + name for name, secret in _leaves(Settings).items() if secret}


def _unknown_variables(environment: Mapping[str, str]) -> list[Problem]:
    known = {PREFIX + name for name in _leaves(Settings)} | {CONFIG_VARIABLE}
    known |= {name + "_FILE" for name in secret_variables()}
    return [
        Problem(name, "is not a setting; remove it or correct its name")
        for name in sorted(environment)
        if name.startswith(PREFIX) and name not in known
    ]


def _secret_files(environment: Mapping[str, str]) -> tuple[dict[str, Any], list[Problem]]:
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for variable in sorted(secret_variables()):
        path = environment.get(variable + "_FILE")
        if path is None:
            continue
        if variable in environment:
            problems.append(Problem(variable, f"is given, and {variable}_FILE as well; keep one"))
            continue
        try:
            value: Any = Path(path).read_text().strip()
        except OSError as error:
            problems.append(Problem(f"{variable}_FILE", f"cannot be read: {error.strerror}"))
            continue
        for part in reversed(variable.removeprefix(PREFIX).lower().split("__")):
            value = {part: value}
        values = _merge(values, value)
    return values, problems


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged
