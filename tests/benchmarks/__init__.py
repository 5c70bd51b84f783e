"""Benchmarks of Tollgate beside its upstream alone, bare nginx and a peer: `python -m tests.benchmarks`.

Machines differ and are noisy, so candidates take turns in rounds, medians come with their spread, and ratios are
what counts. CPU time per request is the steadiest of the absolute figures.
"""
