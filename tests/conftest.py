"""Settings shared by all tests."""

from hypothesis import HealthCheck, settings

# Derandomised: the same examples on every machine and in every run, so that a red test is red for everyone.
settings.register_profile(
    "bgsim",
    derandomize=True,
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("bgsim")
