"""What pages call things, in place of the names that programs read."""

from __future__ import annotations

from middlewares.response.problem import TITLES
from proxy.reporting.tables import grouped

_WORKLOADS = {
    "text-to-image": "Text to image",
    "image-to-image": "Image to image",
    "image-to-video": "Image to video",
    "upscale": "Upscaling",
    "audio-to-text": "Speech to text",
    "llm": "Language model",
    "segment-anything-2": "Image segmentation",
    "image-to-text": "Image to text",
    "text-to-speech": "Text to speech",
    "live-video-to-video": "Live video",
    "transcoding": "Transcoding",
    "byoc": "Bring your own container",
    "playback": "Playback",
}
_OUTCOMES = {
    "complete": "Complete",
    "client_disconnect": "The client left",
    "upstream_error": "The gateway failed",
    "refused": "Ended by Tollgate",
    "gate_shutdown": "Ended by a shutdown",
    "internal_error": "Tollgate failed",
    "orphaned": "Lost with its process",
}
_UNITS = {
    "requests": "requests",
    "concurrent-requests": "requests at once",
    "pixels": "pixels",
    "generations": "generations",
    "input_tokens": "input tokens",
    "output_tokens": "output tokens",
    "tokens": "tokens",
    "characters": "characters",
    "milliseconds": "milliseconds",
    "seconds": "seconds",
    "minutes": "minutes",
    "amount": "money",
}
_ROLES = {
    "owner": "Owner",
    "developer": "Developer",
    "billing": "Billing",
    "viewer": "Viewer",
    "support": "Support",
    "admin": "Administrator",
}
_DIMENSIONS = {"day": "Day", "month": "Month", "workload": "Workload", "model": "Model", "user": "User", "key": "Key"}
_NOTIFICATIONS = {
    "limit.threshold": "A share of a limit is used",
    "limit.forecast": "A limit is going to be reached",
    "balance.low": "The balance is low",
    "balance.forecast": "The balance is going to run out",
    "key.expiring": "A key is about to expire",
    "key.old": "A key should be rotated",
    "key.revoked": "A key was revoked",
    "statement.ready": "A statement is ready",
    "stream.started": "A stream has started",
    "stream.idle": "A stream stands still",
    "stream.ended": "A stream has ended",
    "webhook.test": "Test",
}
_ACTORS = {
    "operator": "The operator",
    "app": "The app",
    "user": "A user",
    "developer": "A member",
    "system": "Tollgate",
}
_RESULTS = {"done": "Done", "refused": "Refused", "failed": "Failed"}
_STATEMENT_KINDS = {"fee": "Fees", "usage": "Usage", "adjustment": "Corrections"}
_LINES = {
    "hold": "what was reserved is charged",
    "hold returned": "what was charged for the reservation before",
    "included": "paid by what the plan includes",
    "decision": "decided by the operator",
    "bounds": "the plan's default or ceiling of reservations",
}
_HOLDS = {
    "refused": "would have been reserved",
    "open": "is reserved now",
    "returned": "was reserved and given back",
    "settled": "was reserved",
}
_STATES = {"refused": "Refused", "running": "Running", "settled": "Settled"}
_PROVENANCE = {
    "measured": "measured",
    "upstream": "reported by the gateway",
    "declared": "declared by the request",
    "estimated": "estimated",
}
_STAGES = {
    "edge": "the check of the request",
    "auth": "the check of the credential",
    "live": "the check of the stream",
    "idempotency": "the check for repetitions",
    "rate_limit": "the limits of the plan or key",
    "usage_tracker": "metering",
    "tenancy": "the check of what is whose",
    "tier_routing": "the choice of a gateway",
    "forwarder": "the way to the gateway",
    "control": "another proxy",
}


def _spelled(name: str) -> str:
    return name.replace("_", " ").replace("-", " ").capitalize()


def workload(name: str | None) -> str:
    """Return what people call a workload; a capability of a container has a name of its own."""
    return _WORKLOADS.get(name or "", name or "No workload")


def outcome(name: str) -> str:
    """Return how a request ended."""
    return _OUTCOMES.get(name) or _spelled(name)


def unit(name: str) -> str:
    """Return the plural of a unit."""
    return _UNITS.get(name) or name.replace("_", " ")


def quantity(number: int | str, name: str) -> str:
    """Return how many there are of a unit."""
    plural = unit(name)
    return f"{grouped(number)} {plural.removesuffix('s') if str(number) == '1' else plural}"


def role(name: str) -> str:
    """Return the name of a role."""
    return _ROLES.get(name) or _spelled(name)


def dimension(name: str) -> str:
    """Return the head of a column."""
    return _DIMENSIONS[name]


def line(name: str) -> str:
    """Return what a line of a price is for: a unit, or one of the other lines."""
    return _LINES.get(name) or unit(name)


def statement_kind(name: str) -> str:
    """Return what a kind of lines of a statement is called."""
    return _STATEMENT_KINDS[name]


def notification(name: str) -> str:
    """Return what a webhook tells of."""
    return _NOTIFICATIONS.get(name) or name


def actor(kind: str) -> str:
    """Return who acted."""
    return _ACTORS.get(kind) or _spelled(kind)


def result(name: str) -> str:
    """Return how an act ended."""
    return _RESULTS.get(name) or _spelled(name)


def capitalize_first(text: str) -> str:
    """Return a sentence with a capital letter; the rest of it stays, and so does an id or a field that begins it."""
    first, _, _ = text.partition(" ")
    return text[:1].upper() + text[1:] if first.rstrip(":,;").isalpha() else text


def named(name: str, otherwise: str) -> str:
    """Return a name, or what stands in the place of one that nobody sees."""
    return name if name.strip() else otherwise


def hold(state: str) -> str:
    """Return what happened to what was to be reserved."""
    return _HOLDS[state]


def state(name: str) -> str:
    """Return how a request stands."""
    return _STATES[name]


def provenance(name: str | None) -> str:
    """Return how a unit is known."""
    return _PROVENANCE.get(name or "") or "not known how"


def stage(name: str) -> str:
    """Return who refused a request."""
    return _STAGES.get(name) or _spelled(name).lower()


def code(name: str) -> str:
    """Return the title of a refusal or failure."""
    return TITLES.get(name) or _spelled(name)


def failure(name: str) -> str:
    """Return how a gateway failed: the title of a code, or a status that it responded with."""
    _, found, status = name.partition("status_")
    return f"It responded with {status}" if found else code(name)


MEMBER_ROLES = ("owner", "developer", "billing", "viewer")
"""Roles that a member of an app may have."""
OUTCOMES = _OUTCOMES
"""How requests end, by what events call it."""
FILTERS = {
    "workload": workload,
    "outcome": outcome,
    "unit": unit,
    "quantity": quantity,
    "role": role,
    "dimension": dimension,
    "price_line": line,
    "statement_kind": statement_kind,
    "notification": notification,
    "actor": actor,
    "result": result,
    "capitalize_first": capitalize_first,
    "named": named,
    "hold": hold,
    "state": state,
    "provenance": provenance,
    "stage": stage,
    "code": code,
    "failure": failure,
}
"""The same, for templates."""
