from tests.upstream.conftest import open_pool, pytest_asyncio_loop_factories, serve

__all__ = ["open_pool", "pytest_asyncio_loop_factories", "serve"]
