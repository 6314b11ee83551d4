"""Tests of edge.media."""
