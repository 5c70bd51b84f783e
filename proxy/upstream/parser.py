"""Strict framing of responses (RFC 9112 section 6.3) over httptools, without I/O.

llhttp already refuses repeated or invalid Content-Length, Content-Length beside Transfer-Encoding, folded lines, bare
LF, invalid names and values, and bad chunk sizes. What it lets through is refused here.
"""

from httptools import HttpParserError, HttpResponseParser

from proxy.network.sliced_reads import BODY_SLICE, head_slice
from proxy.upstream.response import Response

MAX_HEAD_BYTES = 64 * 1024
"""Limit on the response head, interim (1xx) heads included."""

MAX_HEADERS = 200
"""Limit on the number of headers of one response."""

MAX_CHUNK_OVERHEAD = 16 * 1024
"""Limit on chunk extensions and trailers beyond what honest chunking needs."""

# Size line, its CRLF and the CRLF after the data: what any chunk may spend before it counts as overhead.
_HONEST_CHUNK_OVERHEAD = 20

_START = b"HTTP/1."


class FramingError(Exception):
    """The received bytes are no response that may be passed on. The message repeats none of them."""


class ResponseParser:
    """Fills one :class:`Response` after another from the bytes of one connection.

    Attributes:
        complete: True once the response has ended.
        reusable: True if the connection may carry another exchange: the gateway allows it and nothing followed.
    """

    __slots__ = (
        "_bodiless",
        "_chunked",
        "_head_bytes",
        "_headers",
        "_interim",
        "_length",
        "_overhead",
        "_parser",
        "_response",
        "complete",
        "reusable",
    )

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        self._response = Response()
        self._bodiless = False
        self._interim = False
        self._head_bytes = 0
        self._overhead = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._length: int | None = None
        self._chunked = False
        self.complete = False
        self.reusable = False

    @property
    def started(self) -> bool:
        """True once any byte of a response has arrived."""
        return self._head_bytes > 0

    def expect(self, response: Response, *, bodiless: bool) -> None:
        """Parse the next response into ``response``; ``bodiless`` where it is to a HEAD request."""
        if self._bodiless:
            # llhttp does not know of HEAD, so the last one left it waiting for a body.
            self._parser = HttpResponseParser(self)
        self._response = response
        self._bodiless = bodiless
        self._head_bytes = 0
        self._overhead = 0
        self.complete = False
        self.reusable = False

    def slice_size(self, data: bytes, at: int) -> int:
        """Return how many bytes to feed in one go, of what was read from `at` on."""
        if not self._response.status:
            return head_slice(data, at)
        return BODY_SLICE if self._chunked else len(data) - at

    def feed(self, data: bytes | memoryview) -> None:
        """Parse what arrived.

        Raises:
            FramingError: the response is malformed or beyond a limit. The parser is of no further use.
        """
        if self._response.status:
            self._overhead += len(data)
        else:
            read = self._head_bytes
            if read < len(_START) and data[: len(_START) - read] != _START[read : read + len(data)]:
                raise FramingError("the response is not HTTP/1.x")
            self._head_bytes = read + len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            if not self.complete:
                cause = error.__context__
                raise cause if isinstance(cause, FramingError) else FramingError(str(error)) from None
            self.reusable = False
        if self._chunked:
            overhead = self._overhead
            if overhead > MAX_CHUNK_OVERHEAD:
                raise FramingError(f"chunk extensions or trailers exceed {MAX_CHUNK_OVERHEAD} bytes")
            self._overhead = overhead if overhead > 0 else 0
        elif self._head_bytes > MAX_HEAD_BYTES and not self._response.status:
            raise FramingError(f"the response head exceeds {MAX_HEAD_BYTES} bytes")

    def end(self) -> bool:
        """Take the end of input; return True if it completes the response (one framed by the connection's end)."""
        status = self._response.status
        self.complete = self.complete or (status != 0 and self._length is None and not self._chunked)
        self.reusable = False
        return self.complete

    # -- called by httptools ------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.complete:
            raise FramingError("bytes after the response")
        self._headers = []
        self._length = None
        self._chunked = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        headers = self._headers
        by_name = dict(headers)
        if b"content-length" in by_name:  # llhttp lets only one pass, and only digits
            self._length = int(by_name[b"content-length"])
        if b"transfer-encoding" in by_name:
            # Anything but one plain "chunked" is read differently by different recipients.
            codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
            if codings != [b"chunked"] or self._parser.get_http_version() == "1.0":
                raise FramingError("unsupported Transfer-Encoding")
            self._chunked = True
            self._overhead = self._head_bytes - _size(headers)
        if len(headers) > MAX_HEADERS:
            raise FramingError(f"the response has more than {MAX_HEADERS} headers")
        if self._head_bytes > MAX_HEAD_BYTES and _size(headers) > MAX_HEAD_BYTES:
            raise FramingError(f"the response head exceeds {MAX_HEAD_BYTES} bytes")
        status = self._parser.get_status_code()
        if status < 200:
            if status <= 101 and status != 100:
                raise FramingError(f"status {status} is a response to no request that was made")
            if self._chunked or self._length:
                raise FramingError("an interim response announces a body")
            self._interim = True
            return
        response = self._response
        response.status = status
        response.headers = headers
        self._headers = []  # trailers end up here: gateways send none, clients read none
        response.content_length = self._length
        response.chunked = self._chunked
        self.reusable = self._parser.should_keep_alive()
        self.complete = self._bodiless

    def on_body(self, data: bytes) -> None:
        if self.complete:
            raise FramingError("a body after the response to HEAD")
        response = self._response
        size = len(data)
        response.parts.append(data)
        response.size += size
        self._overhead -= size + _HONEST_CHUNK_OVERHEAD

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
        elif self.complete and self._chunked:  # a last chunk after the response to HEAD
            self.reusable = False
        else:
            self.complete = True


def _size(headers: list[tuple[bytes, bytes]]) -> int:
    """Return the size of a header block in bytes."""
    return sum(len(name) + len(value) + len(b": \r\n") for name, value in headers)
