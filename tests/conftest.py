"""Hypothesis profiles: the suite's is deterministic and small, `make laws` draws many and new examples."""

from hypothesis import HealthCheck, settings

quiet = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("suite", max_examples=60, deadline=None, derandomize=True, suppress_health_check=quiet)
settings.register_profile("laws", max_examples=2000, deadline=None, suppress_health_check=quiet)
settings.load_profile("suite")
