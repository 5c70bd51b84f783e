"""The traits of a client route, on which stages switch. `middlewares.routes` has the table."""

from enum import StrEnum


class Body(StrEnum):
    """How a request body is read before the request is admitted."""

    STREAMED = "streamed"
    """It is not: it passes as it arrives."""
    JSON = "json"
    """Whole: one JSON object, on which units, model or safety depend."""
    FORM = "form"
    """As far as the part that names the model."""
    JOB = "job"
    """It passes as it arrives; the `Livepeer` header carries the job (gateway contract section 1.7)."""


class Measure(StrEnum):
    """What measures the use of a request; `middlewares.usage_tracker.meters` has a meter for each."""

    IMAGES = "images"
    """Pixels and images: size by the request, number by the response."""
    IMAGES_FROM_IMAGE = "images-from-image"
    """Pixels and images: size of the uploaded image, number by the response."""
    MASKS = "masks"
    """Pixels of the uploaded image, if the response has masks."""
    CAPTION = "caption"
    """Pixels of the uploaded image, if the response has a text."""
    VIDEO = "video"
    """Pixels of 25 frames and videos by the response, or a detached job that was accepted."""
    VIDEO_RESULT = "video-result"
    """Nothing: a detached video was counted when it was accepted."""
    AUDIO = "audio"
    """Milliseconds of the uploaded sound."""
    TOKENS = "tokens"
    """Tokens, by the response's own count."""
    CHARACTERS = "characters"
    """Characters of the text to speak."""
    RENDITIONS = "renditions"
    """Milliseconds of each rendition of a video segment, and pixels."""
    WALL_TIME = "wall-time"
    """Milliseconds until the last byte that says something."""
    STREAM_TIME = "stream-time"
    """Nothing: the route serves a stream that is paid for by the time it lives."""
    REQUESTS = "requests"
    """The request itself."""


class Names(StrEnum):
    """Which resource of a gateway a request names, and where."""

    NOTHING = "nothing"
    MANIFEST = "manifest"
    """A manifest, in the path."""
    PLAYED_FILE = "played-file"
    """A file of a result or of a manifest, in the path."""
    LIVE_STREAM = "live-stream"
    """A live stream, in the path."""
    VIEWED_STREAM = "viewed-stream"
    """A live or BYOC stream under the name by which WHEP plays it, in the path."""
    BYOC_STREAM = "byoc-stream"
    """A BYOC stream, in the path."""
    NEW_BYOC_STREAM = "new-byoc-stream"
    """The BYOC stream that the JSON body starts."""
    DETACHED_VIDEO = "detached-video"
    """An asynchronous image-to-video, in the JSON body."""


class Creates(StrEnum):
    """Which resource comes into being."""

    NOTHING = "nothing"
    NAMED = "named"
    """What the request names, with the first request that names it."""
    RESULTS = "results"
    """What the response names: ids that the gateway makes up."""


class Links(StrEnum):
    """Where a response holds links that are rewritten to the public origin."""

    NONE = "none"
    HEADERS = "headers"
    DOCUMENT = "document"
    """In the members of a JSON document that end in `_url`."""


class Hints(StrEnum):
    """Which hint of the tier a stock gateway takes for one request (gateway contract section 4)."""

    NONE = "none"
    JOB = "job"
    """Orchestrators to include and exclude, in the `Livepeer` header."""
    ORCHESTRATOR = "orchestrator"
    """The query parameter `orchestrator`."""
    PROFILES = "profiles"
    """The header `Livepeer-Transcode-Configuration`."""


class Dialect(StrEnum):
    """Whose request and response format a route speaks."""

    GATEWAY = "gateway"
    OPENAI = "openai"


class StreamStep(StrEnum):
    """What a request does to a stream that is paid for by the time it lives."""

    NONE = "none"
    OFFER = "offer"
    """Publishes a live stream by WHIP: carries a signed stream token for the gateway's auth webhook."""
    CLOSE = "close"
    """Ends the session of a live stream."""
    START = "start"
    """Starts a BYOC stream: its session begins with the response."""
    STOP = "stop"
    """Stops a BYOC stream: its session ends with the response."""
    HANG_UP = "hang-up"
    """Ends the WHIP session of a BYOC stream, and the stream with it: its session ends with the response."""


class AnsweredBy(StrEnum):
    """Who responds to an admitted request."""

    GATEWAY = "gateway"
    MODEL_LIST = "model-list"
    """Tollgate, with the chat models of the configuration."""
    WHIP_SESSION = "whip-session"
    """Tollgate, for gateways have no route for the session that a live stream's WHIP response names."""
