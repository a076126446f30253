"""Adapters: they observe a model, and know nothing of explanations."""
