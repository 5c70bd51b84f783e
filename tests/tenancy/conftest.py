from tests.support.redis_fixtures import redis_server

__all__ = ["redis_server"]
