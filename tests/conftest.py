"""Settings of all property tests: they judge results, never how long a busy machine took for them.

`make test` tries the same examples each time, so that a red run says something about the change; `make fuzz` looks for
new ones.
"""

from hypothesis import HealthCheck, settings

settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeat", settings.get_profile("explore"), derandomize=True)
settings.load_profile("repeat")
