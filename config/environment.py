"""Settings from environment variables."""

import json
import os
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource

PREFIX = "TOLLGATE_"
_SERVICE = "_SERVICE_HOST"
_OF_SERVICE = re.compile(r"_SERVICE_(HOST|PORT\w*)|_PORT(_\d+_(TCP|UDP|SCTP)\w*)?")


@cache
def variables(model: type[BaseModel], prefix: str = PREFIX) -> Mapping[str, bool]:
    """Return the environment variables of all settings below `model`, each with True if its value is a secret."""
    found: dict[str, bool] = {}
    for name, field in model.model_fields.items():
        variable = prefix + name.upper()
        found[variable] = SecretStr in getattr(field.annotation, "__args__", (field.annotation,))
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found |= variables(field.annotation, variable + "__")
    return found


def service_variables(environment: Iterable[str]) -> set[str]:
    """Return the variables that Kubernetes sets in each container for a Service whose name begins with `tollgate`.

    They are those of https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables.
    """
    services = [name.removesuffix(_SERVICE) for name in environment if name.endswith(_SERVICE)]
    return {name for name in environment for each in services if _OF_SERVICE.fullmatch(name.removeprefix(each))}


class EnvironmentSource(EnvSettingsSource):
    """Settings source that reads the variables of settings; the loader sees to others, `..._FILE` among them.

    Variables are written in capitals alone: as the names of two variables differ by case, so might two values.

    A variable that should hold JSON and does not is left to validation, which names it beside all other errors.
    """

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls)
        known = variables(settings_cls)
        self.env_vars = {name.lower(): value for name, value in os.environ.items() if name in known and value}

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        try:
            decoded = super().decode_complex_value(field_name, field, value)
            if decoded is not value:
                json.loads(value, object_pairs_hook=_distinct)
        except (ValueError, RecursionError):
            return value
        return decoded


def _distinct(members: list[tuple[str, Any]]) -> None:
    """Raise `ValueError` for an object with a name twice, of which `json` silently takes the last, as in the file."""
    if len(members) != len(dict(members)):
        raise ValueError("a name is given twice")
