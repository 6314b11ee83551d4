"""Engines: compiled models that run."""
