"""LiteLLM peer: the proxy that most operators of language models know, if its command is on the PATH."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

from tests.benchmarks.programs import LOOPBACK, Candidate, find, free_port, make, running

NAME = "LiteLLM peer"
INSTALL = "litellm`, from `pipx install 'litellm[proxy]'"
KEY = "sk-peer"
START_SECONDS = 120.0
"""It imports for a long time."""
ENVIRONMENT = {
    "LITELLM_LOG": "ERROR",
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # the prices that it has, instead of those of a host far away
}


@contextlib.asynccontextmanager
async def litellm(folder: Path, gateway: Candidate, model: str) -> AsyncIterator[Candidate]:
    """Run one worker of the peer in front of `gateway`, with the one key that it has without a database.

    It counts no usage and asks no Redis then, which is in its favour. Raises `Missing`.
    """
    binary = find("litellm", INSTALL)
    make(folder)
    port = free_port()
    config = folder / "config.yaml"
    config.write_text(json.dumps(_configuration(gateway.port, model)))  # JSON is YAML
    where = ("--host", LOOPBACK, "--port", str(port), "--num_workers", "1")
    command = (binary, "--config", str(config), *where, "--telemetry", "False")
    log = folder / "log"
    async with running(*command, port=port, log=log, environment=ENVIRONMENT, seconds=START_SECONDS) as process:
        yield Candidate(NAME, port, (KEY,), {"worker": (process,)})


def _configuration(gateway: int, model: str) -> dict[str, object]:
    upstream = {"model": f"openai/{model}", "api_base": f"http://{LOOPBACK}:{gateway}/v1", "api_key": "none"}
    return {
        "model_list": [{"model_name": model, "litellm_params": upstream}],
        "general_settings": {"master_key": KEY},
    }
