"""The control plane of a worker, put together. No module of the data path imports it; the worker hands it in."""
