"""Checks for ambiguous requests: two readers could disagree on where they end or whom they address. Pure.

Such a request is refused and its connection closed, so that nothing after it is read as a request.
"""

import re
from collections.abc import Mapping

from middlewares.bounded_cache import BoundedCache
from middlewares.exchange import Headers, Refusal

_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+;=-]+)(?::[0-9]{1,5})?")
_MAX_LENGTH_DIGITS = 18


def closing_refusal(detail: str, *, status: int = 400, code: str = "malformed_request") -> Refusal:
    """Return a refusal after which nothing more is read from the connection."""
    return Refusal(status, code, detail, close=True)


def check_request(method: str, http_version: str, read: Mapping[bytes, bytes]) -> None:
    """Check version, method and Host; `read`: values that the edge reads, by header. Raises `Refusal`.

    An offer to upgrade is not looked at: a server may ignore it (RFC 9110 section 7.8).
    """
    if http_version not in ("1.1", "1.0"):
        raise closing_refusal("Use HTTP/1.1.", status=505, code="http_version_not_supported")
    if method in ("CONNECT", "TRACE"):
        raise closing_refusal(f"{method} is not served here.", status=501, code="method_not_implemented")
    if not _valid_hosts[read.get(b"host", b"")]:
        raise closing_refusal("The request needs exactly one Host header, with a host and optionally a port.")


def is_valid_host(host: bytes) -> bool:
    """Return True if this value of Host is one host with at most a port (RFC 9110 section 7.2)."""
    return _HOST.fullmatch(host.strip(b" \t")) is not None


_valid_hosts = BoundedCache(is_valid_host, room=1024)


def check_coding(headers: Headers) -> None:
    """Raise `Refusal` (415) for a coded body, which nobody here decodes (RFC 9110 section 15.5.16)."""
    coding = b", ".join(value for name, value in headers if name == b"content-encoding").strip().lower()
    if coding not in (b"", b"identity"):
        raise Refusal(
            415,
            "content_coding_not_supported",
            f"The body has the content coding `{coding.decode('latin-1')}`; send it without one.",
            headers=[(b"accept-encoding", b"identity")],
        )


def body_length(http_version: str, read: Mapping[bytes, bytes]) -> int | None:
    """Return the length of the request body in bytes, 0 without one, None for a chunked one (RFC 9112 section 6.3).

    Raises `Refusal` for framing that RFC 9112 section 6.1 calls faulty, and for any coding but `chunked`.
    """
    coding = read.get(b"transfer-encoding")
    length = read.get(b"content-length")
    if coding is None:
        digits = b"0" if length is None else length.strip(b" \t")
        if not digits.isdigit() or len(digits) > _MAX_LENGTH_DIGITS:
            raise closing_refusal("Content-Length must be one decimal number.")
        return int(digits)
    if length is not None:
        raise closing_refusal("A request has either Content-Length or Transfer-Encoding, not both.")
    if http_version == "1.0":
        raise closing_refusal("HTTP/1.0 has no Transfer-Encoding; send Content-Length.")
    if coding.strip(b" \t").lower() != b"chunked":
        raise closing_refusal(
            "The only transfer coding understood here is `chunked`.",
            status=501,
            code="transfer_coding_not_implemented",
        )
    return None
