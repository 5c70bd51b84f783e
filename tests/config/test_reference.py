"""The reference is complete, because it is made from the models."""

import re
from typing import Any, get_args

from pydantic import BaseModel

from config.environment import variables
from config.loader import secret_variables
from config.reference import reference
from config.settings import Settings

PAGE = reference()


def models(annotation: Any) -> set[type[BaseModel]]:
    """Return every model in an annotation, and all models nested in those."""
    inner = list(get_args(annotation))
    found: set[type[BaseModel]] = set()
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        found.add(annotation)
        inner += [field.annotation for field in annotation.model_fields.values()]
    return found.union(*map(models, inner))


def test_every_field_of_every_model_is_described() -> None:
    found = models(Settings)
    assert len(found) > 20
    for model in found:
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"
            assert f"| `{field.alias or name}` |" in PAGE
            assert field.description.replace("|", "\\|") in PAGE


def test_every_variable_is_named() -> None:
    named = set(re.findall(r"`(TOLLGATE_\w+)`", PAGE))
    sections = {name for name in variables(Settings) if any(other.startswith(f"{name}__") for other in named)}
    assert named == (variables(Settings).keys() - sections) | {f"{name}_FILE" for name in secret_variables()}


def test_secrets_are_marked() -> None:
    marked = {line.split("`")[1] for line in PAGE.splitlines() if "**secret**" in line}
    assert marked == {
        "history_url",
        "redis_url",
        "key_pepper",
        "secret",
        "token",
        "postgresql_url",
        "secret_key",
        "client_secret",
        "webhook_secret",
    }


def test_bounds_and_defaults_are_shown() -> None:
    assert "| `workers` | whole number, 1 to 256 | `1` | `TOLLGATE_WORKERS` |" in PAGE
    assert "| `deadline_seconds` | number above 0.01, at most 10 | `0.25` |" in PAGE
    assert "| `fee` | whole number, 0 to 10^27 | `0` |" in PAGE
    assert "| `pool` | text | required |" in PAGE


def test_every_table_is_rectangular() -> None:
    for table in re.findall(r"(?:^\|.*\n?)+", PAGE, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1, table
