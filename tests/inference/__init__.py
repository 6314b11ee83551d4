"""Tests of edge.inference."""
