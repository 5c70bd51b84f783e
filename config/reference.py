"""The configuration reference: Markdown tables made from the models, so that the two cannot disagree.

`python -m config.reference` writes it into `config/README.md` below the current folder, between its markers.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from config.environment import PREFIX
from config.limits import Limit
from config.markdown import fill, table
from config.plans import BUILT_IN_PLANS
from config.routing import DEFAULT_RESPONSE_LIMITS, DEFAULT_TIMEOUTS, GatewayTimeouts, ResponseLimits
from config.settings import Settings

Schema = Mapping[str, Any]

PART = "configuration"
LONG_ENUM = 8
"""Most values of an enumeration that is shown in place; longer ones get a section of their own."""


class Reference:
    """Renders the JSON Schema of the settings; nested models become sections, titled by their path."""

    def __init__(self, schema: Schema) -> None:
        self._models: Schema = schema["$defs"]
        self._root = schema

    def render(self) -> str:
        """Return all sections, in the order of the settings."""
        sections = [
            *self._sections("", self._root, in_environment=True),
            *self._enums(),
            _timeouts(),
            _response_limits(),
            _plans(),
        ]
        return "\n\n".join(sections)

    def _sections(self, path: str, model: Schema, *, in_environment: bool) -> Iterator[str]:
        title = f"`{path}`" if path else "Settings"
        yield f"### {title}\n\n{model['description']}\n\n{self._table(path, model, in_environment)}"
        for child, names in self._children(model).items():
            name = names[0] if len(names) == 1 else "{" + ",".join(names) + "}"
            step = self._step(model["properties"][names[0]])
            below = f"{path}.{name}{step}" if path else name + step
            yield from self._sections(below, self._models[child], in_environment=in_environment and not step)

    def _children(self, model: Schema) -> dict[str, list[str]]:
        """Return the settings that hold nested models, by the name of the model."""
        found: dict[str, list[str]] = {}
        for name, field in model["properties"].items():
            nested = self._model_in(field)
            if nested:
                found.setdefault(nested, []).append(name)
        return found

    def _model_in(self, node: Schema) -> str:
        """Return the name of the model that a node holds, as itself, in a list or in a mapping; empty if none."""
        node = _not_null(node)
        inner = node.get("items") or _mapped(node)
        if inner:
            return self._model_in(inner)
        name = _name(node)
        return name if name and "properties" in self._models[name] else ""

    @staticmethod
    def _step(field: Schema) -> str:
        """Return what stands between the path of a setting and the paths of the model in it."""
        if "items" in field:
            return ".<n>"
        return f".<{_key(field)}>" if _mapped(field) else ""

    def _table(self, path: str, model: Schema, in_environment: bool) -> str:
        required = model.get("required", ())
        columns = ["Setting", "Value", "Default", *(["Environment"] if in_environment else []), "Meaning"]
        rows = []
        for name, field in model["properties"].items():
            nested = self._model_in(field)
            itself = nested and not self._step(field)
            default = "required" if name in required else "" if itself else _default(field.get("default"))
            below = f"{path}.{name}" if path else name
            row = [f"`{name}`", self._value(field), default]
            if in_environment:
                row.append("" if itself else _variable(below, secret=_is_secret(field)))
            rows.append([*row, field["description"]])
        return table(columns, rows)

    def _value(self, node: Schema) -> str:
        """Return what may be written for a setting, with its bounds."""
        node = _not_null(node)
        if "items" in node:
            return "list; see below" if self._model_in(node) else f"list of: {self._value(node['items'])}"
        if _mapped(node):
            return f"mapping by {_key(node)}; see below"
        if "enum" in node:
            return _choices(node["enum"])
        if name := _name(node):
            return self._named(name)
        return _scalar(node)

    def _named(self, name: str) -> str:
        model = self._models[name]
        if "properties" in model:
            return "see below"
        return f"[{name}](#{name.lower()})" if len(model["enum"]) > LONG_ENUM else _choices(model["enum"])

    def _enums(self) -> Iterator[str]:
        for name, model in self._models.items():
            if len(model.get("enum", ())) > LONG_ENUM:
                yield f"### {name}\n\n{model['description']}\n\n{_choices(model['enum'])}"


def reference() -> str:
    """Return the whole reference."""
    return Reference(Settings.model_json_schema()).render()


def _not_null(node: Schema) -> Schema:
    options = [option for option in node.get("anyOf", ()) if option.get("type") != "null"]
    return options[0] if options else node


def _mapped(node: Schema) -> Schema | None:
    """Return the schema of the values of a mapping; None for anything else."""
    named: Iterable[Schema] = node.get("patternProperties", {}).values()
    rest = node.get("additionalProperties")
    return next(iter(named), None) or (rest if isinstance(rest, Mapping) and rest else None)


def _name(node: Schema) -> str:
    return str(node.get("$ref", "")).rpartition("/")[2]


def _key(node: Schema) -> str:
    return _name(node.get("propertyNames", {})).lower() or "name"


def _is_secret(node: Schema) -> bool:
    return bool(_not_null(node).get("writeOnly"))


def _variable(path: str, *, secret: bool) -> str:
    name = PREFIX + path.replace(".", "__").upper()
    return f"`{name}`, `{name}_FILE`" if secret else f"`{name}`"


def _choices(values: Iterable[str]) -> str:
    *rest, last = (f"`{value}`" for value in values)
    return f"{', '.join(rest)} or {last}"


def _scalar(node: Schema) -> str:
    match node["type"]:
        case "boolean":
            return "`true` or `false`"
        case "integer":
            return "whole number" + _bounds(node)
        case "number":
            return "number" + _bounds(node)
        case "object":
            return "mapping"
    if "pattern" in node:
        return f"text that matches `{node['pattern']}`"
    return "text, **secret**" if node.get("writeOnly") else str(node.get("format", "text"))


def _bounds(node: Schema) -> str:
    least, above, most = (node.get(name) for name in ("minimum", "exclusiveMinimum", "maximum"))
    if least is not None and most is not None:
        return f", {_number(least)} to {_number(most)}"
    low = (
        f" above {_number(above)}" if above is not None else f", at least {_number(least)}" if least is not None else ""
    )
    return f"{low}, at most {_number(most)}" if most is not None else low


def _number(number: float) -> str:
    if number >= 10**18 and re.fullmatch("10*", str(number)):
        return f"10^{len(str(number)) - 1}"
    return f"{number:_}"


def _default(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, str):
        return f"`{value}`"
    return f"`{json.dumps(value)}`" if isinstance(value, bool | list | dict) else f"`{_number(value)}`"


def _timeouts() -> str:
    rows = [["every other", *_seconds(GatewayTimeouts())]]
    rows += [[f"`{workload}`", *_seconds(timeouts)] for workload, timeouts in DEFAULT_TIMEOUTS.items()]
    return "### Default timeouts\n\nIn seconds.\n\n" + table(["Workload", "connect", "first_byte", "idle"], rows)


def _response_limits() -> str:
    rows = [["every other", *_limits(ResponseLimits())]]
    rows += [[f"`{workload}`", *_limits(limits)] for workload, limits in DEFAULT_RESPONSE_LIMITS.items()]
    return "### Default limits of responses\n\n" + table(["Workload", "seconds", "bytes", "empty_lines"], rows)


def _limits(limits: ResponseLimits) -> list[str]:
    return [_number(limits.seconds), _default(limits.bytes), _number(limits.empty_lines)]


def _seconds(timeouts: GatewayTimeouts) -> list[str]:
    return [f"{seconds:g}" for seconds in (timeouts.connect, timeouts.first_byte, timeouts.idle)]


def _plans() -> str:
    rows = []
    for name, plan in BUILT_IN_PLANS.items():
        limits = plan.limits.app
        numbers = [_limit(each) for each in (limits.requests_per_minute, limits.requests_per_day, limits.concurrent)]
        rows.append([f"`{name}`", f"`{plan.tier}`", *numbers])
    columns = ["Plan", "Tier", "Requests in 60 s", "Requests in 24 h", "At once"]
    return "### Built-in plans\n\nAll are free of charge; the limits are those of each app.\n\n" + table(columns, rows)


def _limit(limit: Limit | None) -> str:
    return "unlimited" if limit is None else f"{limit.max:_}"


def main(page: Path) -> None:
    """Write the reference into `page`."""
    page.write_text(fill(page.read_text(), PART, reference()))


if __name__ == "__main__":
    main(Path("config/README.md"))
