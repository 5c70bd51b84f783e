"""Media is measured by FFmpeg in small confined processes beside the worker, never inside it.

The worker's side is `pool.py` (the processes), `child.py` (one of them) and `spool.py` (bodies kept while they pass);
the processes' side is `process.py` with `confinement.py`, `container.py`, `sound.py` and `video.py`.
"""
