"""What holds for every test, set before the libraries that read it are imported; children inherit it."""

import os

# No test asks the network for a model: a missing one fails at once.
os.environ["HF_HUB_OFFLINE"] = "1"
# For models this small, threads that wait for one another on busy cores take thirty times longer.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import HealthCheck, settings

# Speed is measured in benchmarks: no property may fail because the machine was busy. Where CI is set,
# the examples are the same in every run.
settings.register_profile(
    "whence",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("whence")
