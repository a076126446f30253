"""Turns observations into one `Explanation`."""
