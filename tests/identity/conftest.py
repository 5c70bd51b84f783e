from tests.control.fixtures import redis_server, store

__all__ = ["redis_server", "store"]
