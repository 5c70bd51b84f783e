"""Mixed load of bounded size that goes on whatever happens to Tollgate."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence

import aiohttp

from tests.support.deployment import Customer, Deployment, eventually

IMAGE: dict[str, object] = {"model_id": "m", "prompt": "p", "width": 64, "height": 64}
HELD: dict[str, object] = IMAGE | {"model_id": "mock/hold=for-ever"}
"""Request whose response never comes."""


def chat(tokens: int, chunk_delay: float = 0.005, more: str = "") -> dict[str, object]:
    """Return a streamed chat whose response has that many tokens, `chunk_delay` seconds apart."""
    model = f"mock/tokens={tokens},chunk-delay={chunk_delay}" + (f",{more}" if more else "")
    return {
        "model": model,
        "max_tokens": max(1, tokens),
        "stream": True,
        "messages": [{"role": "user", "content": "hi"}],
    }


class MixedLoad:
    """Clients with one request at a time each: short images, streamed chats, and now and then one that is held."""

    def __init__(
        self, deployment: Deployment, customers: Sequence[Customer], rng: random.Random, clients: int = 12
    ) -> None:
        self._deployment = deployment
        self._customers = customers
        self._rng = rng
        self._clients = clients
        self.statuses: Counter[int] = Counter()
        """Number of whole responses by status; 0 stands for none, or for one that was cut."""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run for the time of the context."""
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            clients = [asyncio.create_task(self._client(session)) for _ in range(self._clients)]
            try:
                yield
            finally:
                for client in clients:
                    client.cancel()
                await asyncio.gather(*clients, return_exceptions=True)

    async def served(self, count: int) -> None:
        """Wait until that many more requests were served."""
        goal = self.statuses[200] + count
        await eventually(lambda: self.statuses[200] >= goal)

    async def _client(self, session: aiohttp.ClientSession) -> None:
        while True:
            try:
                self.statuses[await self._send(session)] += 1
            except (aiohttp.ClientError, OSError):
                self.statuses[0] += 1
                await asyncio.sleep(0.02)

    async def _send(self, session: aiohttp.ClientSession) -> int:
        kind = self._rng.random()
        path, body = "/text-to-image", IMAGE
        if kind < 0.5:
            path, body = "/llm", chat(self._rng.randrange(1, 40))
        elif kind < 0.55:
            body = HELD
        headers = self._rng.choice(self._customers).headers
        async with session.post(self._deployment.public + path, json=body, headers=headers) as response:
            await response.read()
            return response.status


async def post(session: aiohttp.ClientSession, deployment: Deployment, body: dict[str, object]) -> int:
    """Send an image request and read the whole response; return its status."""
    async with session.post(deployment.public + "/text-to-image", json=body) as response:
        await response.read()
        return response.status
