"""Families of models, one module each; export/registry.py lists them."""
