"""Failed starts end at once, with lines that say what is wrong and where, and without a traceback."""

from pathlib import Path
from typing import Any

import pytest

from tests.store.servers import free_port
from tests.support.deployment import Deployment

pytestmark = [pytest.mark.ci, pytest.mark.asyncio(loop_scope="package")]

WRONG: dict[str, Any] = {
    "listen": "nowhere",
    "workers": 0,
    "gatway_url": "http://127.0.0.1:1",
    "plans": {"gold": {"tier": "x", "limits": {"app": {"requests_per_minute": -1}}, "prices": [{"unit": "smiles"}]}},
    "edge": {"max_header_bytes": "many"},
    "auth": {"issuers": [{"issuer": "https://idp.example", "audience": "a", "algorithms": ["HS256"], "app": "a"}]},
}
PATHS = (
    "listen",
    "workers",
    "gatway_url",
    "plans.gold.limits.app.requests_per_minute",
    "plans.gold.prices.0.unit",
    "plans.gold.prices.0.amount",
    "edge.max_header_bytes",
    "auth.issuers.0.algorithms.0",
)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("command", ["check", "serve"])
async def test_every_error_of_the_configuration_is_reported_with_its_path(
    deployment: Deployment, tmp_path: Path, command: str
) -> None:
    environment = {"TOLLGATE_LOG__LEVEL": "loud", "TOLLGATE_WROKERS": "2", "TOLLGATE_REDIS_URL": "redis://:hush@h:x"}
    code, out, err = await Deployment(tmp_path, deployment.gateway, WRONG, environment).cli(command)
    assert (code, out) == (2, "")
    reported = {line.split(": ")[1] for line in err.splitlines() if line.startswith("tollgate: ")}
    assert reported == {*PATHS, "log.level", "TOLLGATE_WROKERS"}
    assert len(err.splitlines()) == len(reported), "one line for each, and nothing else"
    assert "hush" not in err


@pytest.mark.parametrize("address", ["tcp", "unix"])
async def test_without_redis_it_does_not_start_and_says_so_in_one_line(
    deployment: Deployment, tmp_path: Path, address: str
) -> None:
    where = f"127.0.0.1:{free_port()}" if address == "tcp" else str(tmp_path / "nobody")
    url = f"redis://:hush@{where}" if address == "tcp" else f"unix://:hush@{where}"
    code, out, err = await Deployment(tmp_path, deployment.gateway, {"redis_url": url, "store": {}}, {}).cli("serve")
    assert code not in (0, 2)
    assert out == ""
    [line] = err.splitlines()
    assert line.startswith("tollgate: ")
    assert where in line
    assert "hush" not in line


async def test_a_taken_port_is_one_line_too(deployment: Deployment, tmp_path: Path) -> None:
    code, out, err = await Deployment(tmp_path, deployment.gateway, {"listen": deployment.host}, {}).cli("serve")
    [line] = err.splitlines()
    assert (code not in (0, 2), out) == (True, "")
    assert line.startswith(f"tollgate: cannot listen on {deployment.host}")
