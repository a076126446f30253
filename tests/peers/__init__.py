"""Servers that nobody here wrote, where they are installed."""
