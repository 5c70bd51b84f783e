"""A mixed load of bounded size that takes whatever happens to the gate as it comes."""

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
"""Its answer never comes."""


def chat(tokens: int, chunk_delay: float = 0.005, more: str = "") -> dict[str, object]:
    """A streamed chat whose answer has that many tokens and takes that long for each."""
    model = f"mock/tokens={tokens},chunk-delay={chunk_delay}" + (f",{more}" if more else "")
    return {
        "model": model,
        "max_tokens": max(1, tokens),
        "stream": True,
        "messages": [{"role": "user", "content": "hi"}],
    }


class Load:
    """`clients` clients, each with one request at a time: short images, streamed chats, and now and then one held."""

    def __init__(self, gate: Deployment, customers: Sequence[Customer], rng: random.Random, clients: int = 12) -> None:
        self._gate = gate
        self._customers = customers
        self._rng = rng
        self._clients = clients
        self.statuses: Counter[int] = Counter()
        """Whole answers by status; 0: none, or one that was cut."""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """For the time of the context."""
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            clients = [asyncio.create_task(self._client(session)) for _ in range(self._clients)]
            try:
                yield
            finally:
                for client in clients:
                    client.cancel()
                await asyncio.gather(*clients, return_exceptions=True)

    async def served(self, count: int) -> None:
        """Wait until that many more requests were."""
        goal = self.statuses[200] + count
        await eventually(lambda: self.statuses[200] >= goal)

    async def _client(self, session: aiohttp.ClientSession) -> None:
        while True:
            try:
                self.statuses[await self._ask(session)] += 1
            except (aiohttp.ClientError, OSError):
                self.statuses[0] += 1
                await asyncio.sleep(0.02)

    async def _ask(self, session: aiohttp.ClientSession) -> int:
        kind = self._rng.random()
        path, body = "/text-to-image", IMAGE
        if kind < 0.5:
            path, body = "/llm", chat(self._rng.randrange(1, 40))
        elif kind < 0.55:
            body = HELD
        headers = self._rng.choice(self._customers).headers
        async with session.post(self._gate.public + path, json=body, headers=headers) as answer:
            await answer.read()
            return answer.status


async def post(session: aiohttp.ClientSession, gate: Deployment, body: dict[str, object]) -> int:
    """The status of the whole answer to one image request."""
    async with session.post(gate.public + "/text-to-image", json=body) as answer:
        await answer.read()
        return answer.status
