"""`python -m proxy.mock_gateway`: a stand-in in a process of its own. Its first line of output is its URL.

Exits with 0 on SIGINT or SIGTERM, with 2 when `--crash` is given and a request crashes the gateway.
"""

import argparse
import asyncio
import signal

import uvloop

from proxy.mock_gateway.gateway import Hooks
from proxy.mock_gateway.server import MockGateway


async def serve(arguments: argparse.Namespace) -> int:
    """Run until a signal or a crash; answers the exit code."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    mock_gateway = MockGateway(
        http_ingest=not arguments.no_http_ingest,
        external_store=arguments.external_store,
        gateway_host=arguments.gateway_host,
        hooks=Hooks(
            arguments.liveAIAuthWebhookUrl,
            arguments.liveAIAuthApiKey,
            arguments.liveAIHeartbeatURL,
            dict(pair.split(":", 1) for pair in filter(None, arguments.liveAIHeartbeatHeaders.split(","))),
            arguments.liveAIHeartbeatInterval,
            arguments.authWebhookUrl,
        ),
        crash=arguments.crash,
    )
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
    parser = argparse.ArgumentParser(prog="python -m proxy.mock_gateway", description="A go-livepeer gateway stand-in.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 (default): a free one")
    parser.add_argument("--crash", action="store_true", help="a crash ends the process with exit code 2")
    parser.add_argument("--external-store", action="store_true", help="as with -objectStore and -recordStore")
    parser.add_argument("--no-http-ingest", action="store_true", help="as a public listener without -httpIngest")
    parser.add_argument("--gateway-host", default="", help="as -gatewayHost: the host in BYOC stream URLs")
    parser.add_argument("-liveAIAuthWebhookUrl", help="asked whether a live stream may begin")
    parser.add_argument("-liveAIAuthApiKey", default="", help="sent with that as x-api-key and Authorization")
    parser.add_argument("-liveAIHeartbeatURL", help="told which live streams run")
    parser.add_argument("-liveAIHeartbeatHeaders", default="", help="sent with that: name:value,name:value")
    parser.add_argument("-liveAIHeartbeatInterval", type=float, default=5.0, help="seconds; 0: only by control")
    parser.add_argument("-authWebhookUrl", help="asked whether a stream may be pushed or a recording be read")
    return uvloop.run(serve(parser.parse_args()))


if __name__ == "__main__":
    raise SystemExit(main())
