"""`config/example.yaml` is a configuration that works, and names every setting at least once."""

import re
from importlib.resources import files
from pathlib import Path

import yaml

from config.environment import variables
from config.loader import load
from config.plans import Billing
from config.settings import Settings

EXAMPLE = Path(str(files("config") / "example.yaml"))
ONLY_AS_COMMENTS = {"gateway_url", "history_url", "redis_url", "export"}
"""Settings that contradict others of the example, or do not belong into a file."""


def test_it_loads() -> None:
    settings = load(EXAMPLE)
    assert settings.routing.rules[-1].pool == "standard"
    assert {plan.billing for plan in settings.plans.values()} == set(Billing) - {Billing.FREE, Billing.PER_REQUEST}


def test_it_uses_every_setting() -> None:
    used = yaml.safe_load(EXAMPLE.read_text()).keys()
    assert used == Settings.model_fields.keys() - ONLY_AS_COMMENTS
    for name in ONLY_AS_COMMENTS:
        assert re.search(rf"^# {name}: \S", EXAMPLE.read_text(), re.MULTILINE), name


def test_its_comments_name_only_variables_that_exist() -> None:
    for name in re.findall(r"TOLLGATE_[A-Z_]+", EXAMPLE.read_text()):
        assert name.removesuffix("_FILE") in variables(Settings)
