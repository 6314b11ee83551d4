"""Tests of edge.lanes."""
