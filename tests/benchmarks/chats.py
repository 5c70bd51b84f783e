"""Requests per second of whole chats, in the dialect of OpenAI, beside a peer that serves nothing else."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

from tests.benchmarks import nginx
from tests.benchmarks.litellm import NAME as LITELLM
from tests.benchmarks.litellm import litellm
from tests.benchmarks.programs import Missing
from tests.benchmarks.report import Section, Target
from tests.benchmarks.scale import Scale
from tests.benchmarks.tollgate import running_tollgate
from tests.benchmarks.wrk import Sent, saturate

TITLE = "POST /v1/chat/completions, a static upstream"
CONNECTIONS = 32
MODEL = "meta-llama/Meta-Llama-3.1-8B-Instruct"
CHAT = Sent(
    "POST",
    "/v1/chat/completions",
    "application/json",
    b'{"model":"meta-llama/Meta-Llama-3.1-8B-Instruct","max_tokens":64,'
    b'"messages":[{"role":"user","content":"What does a lighthouse keeper do all day?"}]}',
)
RESPONSE = (
    '{"id":"chatcmpl-1","object":"chat.completion","created":1790000000,'
    '"model":"meta-llama/Meta-Llama-3.1-8B-Instruct","choices":[{"index":0,"finish_reason":"stop",'
    '"message":{"role":"assistant","content":"Mostly, a keeper waits, and cleans the lens."}}],'
    '"usage":{"prompt_tokens":16,"completion_tokens":11,"total_tokens":27}}'
)
"""Response of a chat that is no stream (gateway contract section 1.2)."""
TO_LITELLM = Target(3.0)


async def run(section: Section, scale: Scale, folder: Path) -> None:
    """Measure nginx, Tollgate and the peer in turn."""
    async with AsyncExitStack() as stack:
        direct = await stack.enter_async_context(nginx.static(folder / "upstream", RESPONSE))
        proxy = await stack.enter_async_context(nginx.proxy(folder / "proxy", direct))
        ours = (await stack.enter_async_context(running_tollgate(folder / "tollgate", direct))).candidate
        candidates = [proxy, ours]
        try:
            candidates.append(await stack.enter_async_context(litellm(folder / "litellm", direct, MODEL)))
        except Missing as missing:
            section.notes.append(f"Without the {LITELLM}: {missing}.")
        for number in range(-1, scale.rounds):  # round -1 warms up
            for candidate in candidates:
                load = await saturate(candidate, CONNECTIONS, scale.seconds, folder, CHAT)
                if number >= 0:
                    section.add(candidate.name, load.metrics)
    for other in candidates:
        if other is not ours:
            target = TO_LITELLM if other.name == LITELLM else None
            ratio = section.ratio("requests/s", ours.name, other.name)
            section.figure(f"requests/s, tollgate / {other.name}, {CONNECTIONS} connections", ratio, target=target)
            cost = section.ratio("CPU µs/request", ours.name, other.name)
            section.figure(f"CPU time per request, Redis included, tollgate / {other.name}", cost)
