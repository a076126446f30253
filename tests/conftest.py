"""What holds for every test, set before the libraries that read it are imported; children inherit it."""

import os

# No test asks the network for a model: a missing one fails at once.
os.environ["HF_HUB_OFFLINE"] = "1"
# For models this small, threads that wait for one another on busy cores take thirty times longer.
os.environ.setdefault("OMP_NUM_THREADS", "1")
