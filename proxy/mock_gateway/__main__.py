"""`python -m proxy.mock_gateway`: a mock gateway in a process of its own. Its first line of output is its URL.

Exits with 0 on SIGINT or SIGTERM, with 2 when `--crash` is given and a request crashes the gateway.
"""

import argparse
import asyncio
import signal

import uvloop

from proxy.mock_gateway.gateway import Hooks, Options
from proxy.mock_gateway.server import MockGateway

FLAGS = {
    "external-store": "as with -objectStore and -recordStore",
    "async-results": "detached image-to-video can be read back, which no released gateway does",
    "stock-ffmpeg": "the FFmpeg of the official build: no WAV, no Ogg, empty .mp4 recordings",
    "monitor": "as with -monitor",
    "offchain": "as with -network offchain: no BYOC",
}


async def serve(arguments: argparse.Namespace) -> int:
    """Run until a signal or a crash; return the exit code."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    options = Options(
        http_ingest=not arguments.no_http_ingest,
        gateway_host=arguments.gateway_host,
        capacity=arguments.capacity,
        byoc_event_timeout=arguments.byoc_event_timeout,
        byoc_status_linger=arguments.byoc_status_linger,
        **{flag.replace("-", "_"): getattr(arguments, flag.replace("-", "_")) for flag in FLAGS},
    )
    hooks = Hooks(
        arguments.liveAIAuthWebhookUrl,
        arguments.liveAIAuthApiKey,
        arguments.liveAIHeartbeatURL,
        dict(pair.split(":", 1) for pair in filter(None, arguments.liveAIHeartbeatHeaders.split(","))),
        arguments.liveAIHeartbeatInterval,
        arguments.authWebhookUrl,
    )
    mock_gateway = MockGateway(options, hooks=hooks, crash=arguments.crash)
    await mock_gateway.start(arguments.host, arguments.port)
    print(mock_gateway.url, flush=True)
    ends = [asyncio.create_task(event.wait()) for event in (stop, mock_gateway.crashed)]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for end in ends:
        end.cancel()
    await mock_gateway.stop()
    return 2 if mock_gateway.crashed.is_set() else 0


def main() -> int:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m proxy.mock_gateway", description="A mock go-livepeer gateway.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 (default): a free one")
    parser.add_argument("--crash", action="store_true", help="a crash ends the process with exit code 2")
    parser.add_argument("--no-http-ingest", action="store_true", help="as a public listener without -httpIngest")
    for flag, text in FLAGS.items():
        parser.add_argument(f"--{flag}", action="store_true", help=text)
    parser.add_argument("--capacity", type=int, help="batch AI jobs at once; beyond it connections drop")
    parser.add_argument("--byoc-event-timeout", type=float, default=30.0, help="seconds until a silent stream ends")
    parser.add_argument("--byoc-status-linger", type=float, default=60.0, help="seconds it is still found after that")
    parser.add_argument("--gateway-host", default="", help="as -gatewayHost: the host in stream URLs")
    parser.add_argument("-liveAIAuthWebhookUrl", help="decides whether a live stream may begin")
    parser.add_argument("-liveAIAuthApiKey", default="", help="sent with that as x-api-key and Authorization")
    parser.add_argument("-liveAIHeartbeatURL", help="receives the ids of the live streams that run")
    parser.add_argument("-liveAIHeartbeatHeaders", default="", help="sent with that: name:value,name:value")
    parser.add_argument("-liveAIHeartbeatInterval", type=float, default=5.0, help="seconds; 0: only by control")
    parser.add_argument("-authWebhookUrl", help="decides whether a stream may be pushed or a recording be read")
    return uvloop.run(serve(parser.parse_args()))


if __name__ == "__main__":
    raise SystemExit(main())
