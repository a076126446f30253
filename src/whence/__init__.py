"""Whence."""
