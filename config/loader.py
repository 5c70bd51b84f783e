"""The loader: reads file and environment into `Settings` and reports every error at once, each with its path."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from config.base import plain_words
from config.environment import PREFIX, service_variables, variables
from config.settings import Settings

CONFIG_VARIABLE = "TOLLGATE_CONFIG"
URL_VARIABLE = "TOLLGATE_URL"
"""Address of the admin API that commands use in place of Redis."""
OPERATOR_KEY_VARIABLE = "TOLLGATE_OPERATOR_KEY"
COMMAND_VARIABLES = {CONFIG_VARIABLE, URL_VARIABLE, OPERATOR_KEY_VARIABLE}
"""Environment variables of the command line, which are no settings."""

NO_SETTING = "is not a setting; remove it or correct its name"
MESSAGES = {
    "extra_forbidden": NO_SETTING,
    "missing": "is missing",
    "tuple_type": "must be a list",
    "too_short": "must not be empty",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "string_type": "must be text; put it in quotes",
}
"""Messages for operators in place of those of pydantic, by the type of the error."""
_DECODED = {"tuple_type", "dict_type", "model_type"}
"""Types of errors that a variable causes whose text is not the JSON that it should be."""
_OTHER_BASE = re.compile(r"[-+]?(0[0-9_]|[0-9_]+:)")


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
    """Return the settings of the file at `path` (else `TOLLGATE_CONFIG`, else none), overlaid by the environment.

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
        raise ConfigError(problems + _problems(error, os.environ)) from None
    if problems:
        raise ConfigError(problems)
    return settings


class _Loader(yaml.SafeLoader):
    """YAML loader that refuses mappings with a key twice: YAML forbids them, PyYAML silently takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"):
            if key.value in seen:
                fault = f"the key {key.value} is given twice"
                raise yaml.MarkedYAMLError(problem=fault, problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """Refuse what YAML 1.1 reads in another base than it seems: `010` is 8 there, `1:30` is 90."""
        if _OTHER_BASE.match(node.value):
            fault = "a number begins with 0 or has a colon, and is another one to YAML; write it plainly, or in quotes"
            raise yaml.MarkedYAMLError(problem=fault, problem_mark=node.start_mark)
        return int(super().construct_yaml_int(node))


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def _read(path: Path) -> tuple[dict[str, Any], list[Problem]]:
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        return {}, [Problem(str(path), f"cannot be read: {error.strerror}")]
    except UnicodeDecodeError as error:
        return {}, [Problem(str(path), f"is not UTF-8 text (byte {error.start})")]
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: 2026-13-01, a date to YAML
        return {}, [Problem(str(path), f"is not valid YAML: {_yaml_fault(error)}")]
    if document is None:
        return {}, []
    if not isinstance(document, dict):
        return {}, [Problem(str(path), "must be a mapping of setting names to values")]
    return _settings_only(document)


def _settings_only(document: dict[Any, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """Return `document` without keys that name no setting; the constructor of `Settings` would misread them.

    It takes `Workers` for `workers`, so that a file could give a setting twice.
    """
    unusable = [key for key in document if key not in Settings.model_fields]
    problems = [Problem(f"{key}", NO_SETTING) for key in unusable]
    return {key: value for key, value in document.items() if key not in unusable}, problems


def _yaml_fault(error: Exception) -> str:
    """Return what is wrong and where, without any value: it may be a secret."""
    mark = getattr(error, "problem_mark", None)
    place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    if isinstance(error, yaml.scanner.ScannerError | yaml.parser.ParserError) or type(error) is yaml.MarkedYAMLError:
        return f"{error.problem}{place}"
    if isinstance(error, yaml.reader.ReaderError):
        return "it holds a character that YAML does not allow"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, ValueError):
        return "a value looks like a number or a date and is none; text needs quotes"
    if isinstance(error, yaml.MarkedYAMLError) and "'" not in (error.problem or "'"):  # quotes are around values
        return f"{error.context}: {error.problem}{place}"
    return f"a value needs quotes, as text that begins with `*`, `&` or `!` does{place}"


def _problems(error: ValidationError, environment: Mapping[str, str]) -> list[Problem]:
    """Return the errors of pydantic as problems, each with the environment variable that set the value, if one did."""
    found = error.errors(include_input=False, include_url=False)
    places = {item["loc"][:length] for item in found for length in range(len(item["loc"]))}
    # pydantic counts only valid items, and so reports a list as too short when some of its items are invalid
    return [
        _problem(dict(item), environment) for item in found if item["type"] != "too_short" or item["loc"] not in places
    ]


def _problem(item: dict[str, Any], environment: Mapping[str, str]) -> Problem:
    parts = [str(part) for part in item["loc"] if part != "[key]"]
    names = (PREFIX + "__".join(parts[:length]).upper() for length in range(len(parts), 0, -1))
    variable = next((name for name in names if name in environment), None)
    message = MESSAGES.get(item["type"]) or plain_words(item["msg"])
    if variable and item["type"] in _DECODED:
        message += " in JSON, with no name given twice"
    return Problem(".".join(parts), f"{message} (set by {variable})" if variable else message)


def secret_variables() -> set[str]:
    """Return the names of the environment variables that may also be given as `<NAME>_FILE`."""
    return {name for name, secret in variables(Settings).items() if secret}


def _unknown_variables(environment: Mapping[str, str]) -> list[Problem]:
    known = variables(Settings).keys() | COMMAND_VARIABLES | {name + "_FILE" for name in secret_variables()}
    known |= service_variables(environment)
    return [
        Problem(name, NO_SETTING)
        for name in sorted(environment)
        if name.upper().startswith(PREFIX) and name not in known
    ]


def _secret_files(environment: Mapping[str, str]) -> tuple[dict[str, Any], list[Problem]]:
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for variable in sorted(secret_variables()):
        path = environment.get(variable + "_FILE")
        if not path:  # an empty variable counts as unset, as it does for every setting
            continue
        if environment.get(variable):
            problems.append(Problem(variable, f"is given, and {variable}_FILE as well; keep one"))
            continue
        try:
            value: Any = Path(path).read_text(encoding="utf-8-sig").strip()  # editors leave a BOM
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            problems.append(Problem(f"{variable}_FILE", f"cannot be read: {reason}"))
            continue
        if not value:
            problems.append(Problem(f"{variable}_FILE", "names an empty file"))
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
