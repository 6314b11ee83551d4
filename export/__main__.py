"""`python -m export` is `privaedge export`."""

import sys

from edge.cli import app

app(args=["export", *sys.argv[1:]], prog_name="privaedge")
