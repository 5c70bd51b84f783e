"""The control surface, /__mock/...: requests to the mock gateway itself, by tests and the demo. Never recorded.

    GET  /__mock/requests[?last=N]            the records since the last reset, oldest first
    GET  /__mock/wait?COUNTER=N[&...][&timeout=S]   long-poll until each counter is reached; 408 after S (10)
    POST /__mock/release?name=NAME            let requests held by that name go on
    POST /__mock/reset                        forget requests and sessions, let everything go on
    GET  /__mock/live                         the live streams, and the ids of those that a webhook has ended
    POST /__mock/heartbeat[?times=N][&ids=ID,...]   send the heartbeat at once, N times, or with these stream ids
    POST /__mock/end?stream=ID                end a BYOC stream as when its WHIP client closes
    GET  /__mock/store/stream/...             the object store of `Options.external_store`

All others respond with the counters `seen`, `finished`, `in_flight`, `peak`, `held`, `crashes` as JSON.
"""

from proxy.mock_gateway import webhooks
from proxy.mock_gateway.call import Call
from proxy.mock_gateway.record import Log
from proxy.mock_gateway.routes import playback

PREFIX = "/__mock/"


async def control(call: Call) -> None:
    """Respond to one control request."""
    log = call.gateway.log
    match call.method, call.path.removeprefix(PREFIX):
        case "GET", "requests":
            last = call.query("last")
            records = list(log.records)[-int(last) if last.isdecimal() else 0 :]
            await call.json(200, [record.as_dict() for record in records])
        case "GET", "wait":
            await _wait(call, log)
        case "POST", "release":
            log.release(call.query("name"))
        case "POST", "reset":
            call.gateway.reset()
        case "GET", "live":
            streams = [live.stream_id for live in call.gateway.live.values()]
            await call.json(200, {"streams": streams, "kicked": call.gateway.kicked})
        case "POST", "heartbeat":
            times, ids = call.query("times"), call.query("ids")
            for _ in range(int(times) if times.isdecimal() else 1):
                await webhooks.beat(call.gateway, ids.split(",") if ids else None)
        case "POST", "end":
            call.gateway.end_byoc(call.query("stream"))
        case "GET", path if path.startswith("store/stream/"):
            call.path = path.removeprefix("store")
            call.params = {"file": path.removeprefix("store/stream/")}
            await playback.stream(call)
        case _:
            await call.text(404, "404 page not found")
    await call.json(200, log.counters())


async def _wait(call: Call, log: Log) -> None:
    at_least = {name: call.query(name) for name in log.counters() if call.query(name)}
    timeout = call.query("timeout") or "10"
    try:
        goals = {name: int(number) for name, number in at_least.items()}
        await log.wait_for(timeout=float(timeout), **goals)
    except ValueError:
        await call.text(400, "counters and timeout are numbers")
    except TimeoutError:
        await call.json(408, log.counters())
