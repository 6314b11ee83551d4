"""Tests; the layout mirrors edge/ and export/."""
