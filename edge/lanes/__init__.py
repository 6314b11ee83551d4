"""Lanes: one kind of looking each, with the decoders of their model families."""
