"""What `deploy/` ships fits the product: metrics that exist, settings that exist, files that parse."""

import configparser
import json
import re
import subprocess
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from middlewares.response.metrics import RequestMetrics
from proxy.forwarding.gateway_metrics import GatewayMetrics
from proxy.server.background.history_metrics import HistoryMetrics
from proxy.server.background.key_metrics import KeyMetrics
from proxy.server.ledger_metrics import LedgerObserver
from proxy.webhooks.metrics import LiveMetrics
from tests.docs.pages import ROOT

DEPLOY = ROOT / "deploy"
ADDED_BY_PROMETHEUS = {"instance", "job", "le"}


def load(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text())


def exposition() -> dict[str, set[str]]:
    """Every series of a live exposition, with its labels."""
    registry = CollectorRegistry()
    owners = RequestMetrics, LedgerObserver, LiveMetrics, GatewayMetrics, HistoryMetrics, KeyMetrics
    for owner in (each(registry) for each in owners):
        for metric in vars(owner).values():
            if isinstance(metric, MetricWrapperBase) and metric._labelnames:
                metric.labels(*metric._labelnames)
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {sample.name: set(sample.labels) for family in families for sample in family.samples}


SERIES = exposition()
ALERTS = [rule for group in load("prometheus/alerts.yaml")["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((DEPLOY / "grafana/dashboard.json").read_text())
EXPRESSIONS = {
    **{rule["alert"]: rule["expr"] for rule in ALERTS},
    **{
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
    },
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions_use_what_is_exposed(name: str) -> None:
    expression = EXPRESSIONS[name]
    named = re.findall(r"\b(up|tollgate_\w+)", expression)
    assert named
    known = set().union(*(SERIES[metric] for metric in named if metric != "up"))
    labels = re.findall(r'(\w+)(?:=~|!=|!~|=)"', expression)
    for grouped in re.findall(r"by \(([^)]*)\)", expression):
        labels += re.split(r",\s*", grouped)
    assert set(labels) <= known | ADDED_BY_PROMETHEUS
    for opening, closing in ("()", "{}", "[]"):
        assert expression.count(opening) == expression.count(closing)


def test_the_dashboard_shows_every_metric() -> None:
    shown = set(re.findall(r"tollgate_\w+", json.dumps(DASHBOARD["panels"])))
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in SERIES if not name.endswith("_created")}
    assert {name.removesuffix("_bucket") for name in shown} == families


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_alerts_say_what_to_do() -> None:
    names = [rule["alert"] for rule in ALERTS]
    assert len(set(names)) == len(names)
    for rule in ALERTS:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"].keys() == {"summary", "action"}
    topics = "usage_lost", "store_unavailable", "holds_orphaned", "rotation_due", 'status=~"5.."', "first_byte_seconds"
    for topic in topics:
        assert any(topic in rule["expr"] for rule in ALERTS), topic


def test_prometheus_scrapes_the_private_listener() -> None:
    [job] = load("prometheus/prometheus.yaml")["scrape_configs"]
    [target] = job["static_configs"][0]["targets"]
    service, _, port = target.partition(":")
    assert service in load("compose.yaml")["services"]
    assert f"TOLLGATE_ADMIN_LISTEN=0.0.0.0:{port}" in (DEPLOY / "Dockerfile").read_text()


def test_compose_publishes_no_private_listener_and_mounts_what_exists() -> None:
    services = load("compose.yaml")["services"]
    assert set(services) == {"tollgate", "redis", "prometheus"}
    assert services["tollgate"]["ports"] == ["127.0.0.1:8080:8080"]
    assert services["tollgate"]["build"] == {"context": "..", "dockerfile": "deploy/Dockerfile"}
    for service in services.values():
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            assert source in load("compose.yaml")["volumes"] or (DEPLOY / source).exists()


def test_redis_of_compose_has_a_password_from_a_file_and_a_network_of_its_own() -> None:
    compose = load("compose.yaml")
    services = compose["services"]
    tollgate, redis = services["tollgate"], services["redis"]
    assert compose["networks"]["store"] == {"internal": True}
    assert redis["networks"] == ["store"]
    assert "ports" not in redis
    assert {name for name, service in services.items() if "store" in service["networks"]} == {"tollgate", "redis"}
    assert tollgate["secrets"] == redis["secrets"] == ["redis_url"]
    assert compose["secrets"] == {"redis_url": {"file": "/etc/tollgate/redis_url"}}
    assert tollgate["environment"]["TOLLGATE_REDIS_URL_FILE"] == "/run/secrets/redis_url"
    assert "TOLLGATE_REDIS_URL" not in tollgate["environment"]


def test_redis_of_compose_takes_the_password_of_the_address() -> None:
    redis = load("compose.yaml")["services"]["redis"]
    for script, said in ((redis["command"][2], "requirepass 5ecret"), (redis["healthcheck"]["test"][1], "5ecret")):
        [program] = re.findall(r"sed -n '([^']*)'", script)
        address = b"redis://:5ecret@redis:6379/0"
        done = subprocess.run(["sed", "-n", program], input=address, capture_output=True, check=True)
        assert done.stdout.decode().strip() == said
    assert "--requirepass" not in redis["command"][2]


def test_the_image_is_lean_and_runs_as_nobody() -> None:
    build, final = (DEPLOY / "Dockerfile").read_text().split("\nFROM python:3.11-slim\n")
    assert "pip install --no-cache-dir --require-hashes --requirement requirements.lock" in build
    assert "USER 65532:65532" in final
    assert "/livez" in final
    assert 'CMD ["serve"]' in final
    assert not re.search(r"\b(pip|gcc|apt-get)\b", final)
    for source in re.findall(r"^COPY (?!--from)(.*) \S+$", build, re.MULTILINE):
        for path in source.split():
            assert (ROOT / path).exists(), path
            assert f"\n!{path}\n" in (DEPLOY / "Dockerfile.dockerignore").read_text()


def test_the_unit_drains_reloads_and_is_hardened() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "tollgate.service")
    service = unit["Service"]
    assert service["KillMode"] == "mixed"
    assert int(service["TimeoutStopSec"]) > 60
    assert service["ExecReload"].endswith("-HUP $MAINPID")
    for name in ("DynamicUser", "NoNewPrivileges", "ProtectHome", "PrivateTmp", "RestrictSUIDSGID"):
        assert service[name] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["StateDirectory"] == "tollgate"
