"""The classifier of lines: its vocabulary, the text it learns from, its training and its export."""
