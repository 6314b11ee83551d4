"""Redaction: what is done to a region (effects), and how (cpu)."""
