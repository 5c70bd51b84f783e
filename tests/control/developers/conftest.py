from tests.control.redis_fixtures import redis_server, store

__all__ = ["redis_server", "store"]
