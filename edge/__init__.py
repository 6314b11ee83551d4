"""privaedge: an AI broadcast delay that lets no unjudged frame or sample out."""

__version__ = "0.1.0"
