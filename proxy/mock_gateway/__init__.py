"""The mock gateway: the HTTP behaviour of a go-livepeer gateway, misbehaviour included, without a network behind it.

`tollgate demo` runs it and the tests use it as their gateway. CONTRACT.md in this folder describes the behaviour;
the docstrings cite its sections.
"""

from proxy.mock_gateway.gateway import Options
from proxy.mock_gateway.record import Record
from proxy.mock_gateway.server import MockGateway

__all__ = ["MockGateway", "Options", "Record"]
