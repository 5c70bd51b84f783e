"""BYOC streams: /process/stream/... (CONTRACT.md section 1.7)."""

import asyncio

from proxy.mock_gateway.call import SSE_HEADERS, TEXT, Call
from proxy.mock_gateway.gateway import LiveStream, encode, short_id
from proxy.mock_gateway.routes.byoc import Job, take_job
from proxy.mock_gateway.routes.forms import decode_json
from proxy.mock_gateway.routes.live import form_fields, playback_url, respond_to_offer, status_of, take_offer

MAX_BODY = 10 << 20
START = {"stream_name": str, "rtmp_output": str, "stream_id": str, "params": str}


async def start(call: Call) -> None:
    """POST /process/stream/start: the stream's absolute URLs, on the gateway's own host name."""
    job = await take_job(call)
    try:
        fields = decode_json(await _limited(call), START)
    except ValueError:
        await call.text(400, "invalid JSON request body")
    name = fields.get("stream_name", "")
    stream_id = "-".join(filter(None, (name, fields.get("stream_id") or short_id())))
    if _running(call, stream_id):
        await call.text(400, f"stream already exists: {stream_id}")
    stream = LiveStream(stream_id, stream_id, short_id(), job.capability, fields.get("params", ""))
    stream.orchestrator = job.orchestrators[0]
    stream.data_output = bool(job.parameters.get("enable_data_output"))
    if job.parameters.get("enable_video_egress"):
        stream.whep_url = playback_url(stream_id, stream.request_id)
    if call.behaviour.silent:
        options = call.gateway.options
        stream.ends_at = asyncio.get_running_loop().time() + options.byoc_event_timeout
        stream.forget_at = stream.ends_at + options.byoc_status_linger
    call.gateway.byoc[stream_id] = stream
    await call.json(200, _urls(call, stream, job, fields.get("rtmp_output", "")))


def _urls(call: Call, stream: LiveStream, job: Job, rtmp_output: str) -> dict[str, str]:
    base = f"https://{call.gateway.options.gateway_host}/process/stream/{stream.stream_id}"
    ingress = bool(job.parameters.get("enable_video_ingress"))
    rtmp = f"rtmp://localhost:1935/{stream.stream_id}"
    outputs = [rtmp_output, f"{rtmp}-out", f"{rtmp}-{stream.request_id}-out"] if stream.whep_url else []
    return {
        "stream_id": stream.stream_id,
        "whip_url": f"{base}/whip" if ingress else "",
        "whep_url": stream.whep_url,
        "rtmp_url": rtmp if ingress else "",
        "rtmp_output_url": ",".join(filter(None, outputs)),
        "update_url": f"{base}/update",
        "status_url": f"{base}/status",
        "data_url": f"{base}/data" if stream.data_output else "",
        "stop_url": f"{base}/stop",
    }


async def stop(call: Call) -> None:
    """POST .../stop: 200 with the worker's response."""
    stream = await _find(call)
    await call.read()
    del call.gateway.byoc[stream.stream_id]
    await call.respond(200, encode({"stopped": stream.stream_id}), TEXT)


async def update(call: Call) -> None:
    """POST .../update: needs a job header again; the orchestrator's status passes through."""
    stream = await _find(call)
    await take_job(call)
    stream.params = (await _limited(call)).decode("latin-1")
    await call.respond(200)


async def status(call: Call) -> None:
    """GET .../status, also of a stream that ended by itself a moment ago, of which the gateway informs nobody."""
    stream = call.gateway.byoc.get(call.params["stream"])
    if stream is None or asyncio.get_running_loop().time() >= stream.forget_at:
        await call.error(404, "Stream not found")
    await call.json(200, status_of(stream))


async def data(call: Call) -> None:
    """GET .../data: events from the worker; the end marker is a raw string, backslashes and all."""
    stream = await _find(call)
    if not stream.data_output:
        await call.text(503, "Stream data not available")
    events = [b'data: {"event":%d}\n\n' % i for i in range(call.behaviour.tokens)]
    end = rb'event: end\ndata: {"type":"stream_ended"}\n\n'
    await call.stream(200, SSE_HEADERS, [*events, end])


async def whip(call: Call) -> None:
    """POST .../whip: ingest for a started stream. Its Location takes no DELETE: that is 405."""
    stream = await _find(call, json_error=True)
    await take_offer(call)
    await respond_to_offer(call, playback_url(stream.stream_id, stream.request_id))


async def rtmp(call: Call) -> None:
    """POST .../rtmp, MediaMTX's callback."""
    await _find(call, json_error=True)
    form = await form_fields(call)
    for name in ("source_id", "source_type"):
        if not form.get(name):
            await call.text(400, f"missing {name}")
    await call.respond(200)


async def preflight(call: Call) -> None:
    """OPTIONS below /process/stream/ is 204; any method that no route takes, 405."""
    if call.method == "OPTIONS":
        await call.respond(204)
    await call.text(405, "Method Not Allowed")


async def _find(call: Call, *, json_error: bool = False) -> LiveStream:
    stream = _running(call, call.params["stream"])
    if stream is None:
        call.json_errors = json_error
        await call.error(404, "Stream not found")
    return stream


def _running(call: Call, stream_id: str) -> LiveStream | None:
    """Return the stream unless it has ended."""
    stream = call.gateway.byoc.get(stream_id)
    return stream if stream and asyncio.get_running_loop().time() < stream.ends_at else None


async def _limited(call: Call) -> bytes:
    body = await call.read()
    if len(body) > MAX_BODY:
        await call.text(413, f"request body too large (max {MAX_BODY} bytes)")
    return body
