"""Tests of edge.speech."""
