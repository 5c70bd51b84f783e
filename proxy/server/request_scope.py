"""The ASGI scope of a request, with what Tollgate adds to it.

`tollgate.target` is the request target as received: `path` no longer shows an absolute-form target, nor how a path
was encoded. `tollgate.connection` is the client's connection (`middlewares.connection.ClientConnection`).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


def scope_template(protocol: HttpToolsProtocol) -> dict[str, Any]:
    """Return what all scopes of a connection have in common, with room for the rest: a copy is cheaper than a new one.

    It does not refer to the connection, so that the two are no reference cycle.
    """
    return {
        "type": "http",
        "asgi": {"version": protocol.asgi_version, "spec_version": "2.3"},
        "http_version": "",
        "method": "",
        "scheme": protocol.scheme,
        "path": "",
        "raw_path": b"",
        "query_string": b"",
        "root_path": protocol.root_path,
        "headers": [],
        "client": protocol.client,
        "server": protocol.server,
        "tollgate.target": b"",
        "tollgate.connection": None,
    }


def request_scope(template: dict[str, Any], protocol: HttpToolsProtocol) -> dict[str, Any]:
    """Return the scope of the request whose head `protocol` has just parsed.

    The target is split here and checked by the edge; nobody relies on `path` before that.
    """
    target = protocol.url
    path, _, query = target.partition(b"?")
    text = path.decode("latin-1")
    scope = template.copy()
    scope["http_version"] = protocol.parser.get_http_version()
    scope["method"] = protocol.parser.get_method().decode("ascii")
    scope["path"] = unquote(text) if "%" in text else text
    scope["raw_path"] = path
    scope["query_string"] = query
    scope["headers"] = protocol.headers
    scope["tollgate.target"] = target
    scope["tollgate.connection"] = protocol
    return scope
