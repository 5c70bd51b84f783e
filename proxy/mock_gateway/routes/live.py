"""Live video-to-video signalling (CONTRACT.md section 1.4, WHIP and WHEP also section 2).

Media never passes here: a WHIP session stands from its 201 on, and ends with the process or a reset.
"""

from urllib.parse import parse_qs, quote

from proxy.mock_gateway import webhooks
from proxy.mock_gateway.call import Call
from proxy.mock_gateway.gateway import MAX_VIEWERS, LiveStream, short_id
from proxy.mock_gateway.routes.forms import decode_json, decode_multipart
from proxy.mock_gateway.routes.transcode import push

ICE_SERVERS = ("link", '<stun:stun.l.google.com:19302>; rel="ice-server"')
MEDIA_MTX = "http://localhost:8889/"
"""Playback base of an unset LIVE_AI_WHEP_URL."""
SDP_ANSWER = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 102\r\na=recvonly\r\n"
SOURCE_TYPES = {"webrtcsession", "rtmpconn"}
MAX_SMOKE_TEST = 3_600
"""Seconds."""


def playback_url(name: str, request_id: str) -> str:
    """Return where MediaMTX, not the gateway, plays a stream."""
    return f"{MEDIA_MTX}{quote(name)}-{request_id}-out/whep"


async def whip(call: Call) -> None:
    """POST .../{stream}/whip: 201 before anybody was authorised or any orchestrator found."""
    if call.method != "POST":
        await _other_method(call)
    name, request_id = call.params["stream"], short_id()
    await call.obey(call.query("pipeline"))
    stream = LiveStream(name, call.query("streamId"), request_id, call.query("pipeline"), call.query("params"))
    stream.orchestrator = call.query("orchestrator")
    stream.whep_url = playback_url(name, request_id)
    await take_offer(call)
    call.gateway.live[name] = stream
    if call.gateway.hooks.live_auth_url:
        stream.authorised = False
        call.gateway.detach(webhooks.authorise_later(call.gateway, stream, call.query_string))
    await respond_to_offer(call, stream.whep_url)


async def take_offer(call: Call) -> None:
    """Read an SDP offer; the media type must be exact."""
    if call.header("content-type") != "application/sdp":
        await call.text(415, "Unsupported Media Type, expected application/sdp")
    if not (await call.read()).startswith(b"v=0"):
        await call.text(500, "SetRemoteDescription failed")


async def respond_to_offer(call: Call, whep_url: str) -> None:
    """Respond to an offer; `Location` is built from the Host header as received."""
    headers = [
        ("location", f"http://{call.header('host')}{call.raw_path}/{short_id()}{short_id()}"),
        ("etag", f'W/"{short_id()}{short_id()}"'),
        ICE_SERVERS,
        ("livepeer-playback-url", whep_url),
    ]
    await call.respond(201, SDP_ANSWER.encode(), "application/sdp", headers)


async def whep(call: Call) -> None:
    """POST .../{stream}[-{request id}]-out/whep: 201 without a Location."""
    if call.method == "PATCH":
        await call.respond(501)
    if call.method != "POST":
        await _other_method(call)
    match call.params["stream"].split("-"):
        case [name, "out"]:
            request_id = ""
        case [name, request_id, "out"]:
            pass
        case _:
            await call.text(404, "Malformed stream ID")
    stream = call.gateway.live.get(name)
    if stream is None or request_id not in {"", stream.request_id}:
        await call.text(404, "Stream not found")
    await take_offer(call)
    if stream.viewers >= MAX_VIEWERS:
        await call.text(429, "Too many viewers for this stream")
    stream.viewers += 1
    await call.respond(201, SDP_ANSWER.encode(), "application/sdp")


async def update(call: Call) -> None:
    """POST .../{stream}/update: new parameters for a running stream."""
    if call.method != "POST":
        await _other_method(call)
    stream = call.gateway.live.get(call.params["stream"])
    if stream is None:
        await call.text(404, "Stream not found")
    stream.params = (await call.read()).decode("latin-1")
    await call.respond(200)


async def status(call: Call) -> None:
    """Any method, .../{stream id}/status: found by stream id, not by stream name."""
    if call.method in {"OPTIONS", "HEAD"}:
        await _other_method(call)
    wanted = call.params["stream"]
    stream = next((live for live in call.gateway.live.values() if live.stream_id == wanted), None)
    if stream is None:
        await call.text(404, "Stream not found")
    await call.json(200, status_of(stream))


def status_of(stream: LiveStream) -> dict[str, object]:
    """Return the runner's last status event, and the gateway's own."""
    return {
        "type": "status",
        "stream_id": stream.stream_id,
        "pipeline": stream.pipeline,
        "state": "ONLINE",
        "gateway_status": {"whep_url": stream.whep_url, "ingest_metrics": {}, "error": None},
    }


async def start(call: Call) -> None:
    """POST .../[{prefix}/]{stream}/start, MediaMTX's callback: the ingest pull itself is left out."""
    if call.method != "POST":
        await _other_method(call)
    form = await form_fields(call)
    for name in ("source_id", "source_type"):
        if not form.get(name):
            await call.text(400, f"Missing {name}")
    if form["source_type"].lower() not in SOURCE_TYPES:
        await call.text(400, "Invalid source type")
    name = call.params["stream"]
    if not name.endswith("-out"):
        query = {key: values[0] for key, values in parse_qs(form.get("query", "")).items()}
        await call.obey(query.get("pipeline", ""))
        stream = LiveStream(name, query.get("streamId", ""), short_id(), query.get("pipeline", ""))
        stream.whep_url = playback_url(name, stream.request_id)
        kind = "rtmp" if form["source_type"].lower() == "rtmpconn" else "whip"
        if not await webhooks.authorise(call.gateway, stream, kind, form.get("query", "")):
            await call.text(403, "AI stream auth failed")
        call.gateway.live[name] = stream
    await call.respond(200)


async def smoketest(call: Call) -> None:
    """PUT .../smoketest: where the gateway would push a test card to any URL."""
    if call.method != "PUT":
        await call.text(405, "Method not allowed")
    try:
        fields = decode_json(await call.read(), {"stream_url": str, "duration_secs": int})
    except ValueError:
        await call.text(400, "Failed to parse request body")
    if not fields.get("stream_url"):
        await call.text(400, "Missing stream url")
    if fields.get("duration_secs", 0) > MAX_SMOKE_TEST:
        await call.text(400, "Request exceeds max duration 1h0m0s")
    await call.respond(200)


async def _other_method(call: Call) -> None:
    """Respond to OPTIONS and HEAD; any other method falls into the push route's path, as in Go's mux."""
    if call.method == "OPTIONS":
        await call.respond(204)
    if call.method == "HEAD":
        await call.respond(405)
    await push(call)


async def form_fields(call: Call) -> dict[str, str]:
    """Return the fields of a urlencoded or multipart body; empty if it is neither."""
    body = await call.read()
    if call.header("content-type").startswith("multipart/"):
        try:
            parts = decode_multipart(call.header("content-type"), body)
        except ValueError:
            return {}
        return {name: data.decode("latin-1") for name, data in parts.items()}
    return {name: values[0] for name, values in parse_qs(body.decode("latin-1")).items()}
