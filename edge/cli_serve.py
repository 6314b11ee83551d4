"""The serve verb: the service in the foreground, as systemd wants it."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from edge.appliance import journal
from edge.appliance.service import Service
from edge.appliance.service_config import load_service_config
from edge.errors import ExitCode


def serve_streams(config: Path, *, debug: bool = False) -> ExitCode:
    """Run all streams of a configuration until a signal ends it. Raises PrivaedgeError.

    Ends the process itself where threads are left that an orderly exit could wait for or crash
    on: a detector that is stuck in native code, an output that takes nothing.
    """
    secrets = journal.Secrets()
    journal.set_up(secrets, debug=debug)
    service = Service(config, secrets=secrets)
    service.handle_signals()
    code = service.run()
    if threading.active_count() > 1:
        sys.stderr.flush()
        sys.stdout.flush()
        os._exit(int(code))
    return code


def check_streams(config: Path) -> str:
    """Check a configuration; return what is in it. Raises ConfigError."""
    streams = load_service_config(config).streams.values()
    return "\n".join(
        f"{stream.name}: {stream.source} to {', '.join(map(str, stream.outputs))}"
        for stream in streams
    )
