"""What can go wrong, as the user sees it: one line with cause and remedy, and an exit code.

Every error that a user can cause or cure derives from PrivaedgeError; the command prints its
message without a traceback and exits with its code. Anything else is a bug of ours and exits 1.
"""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """Exit codes of the command. 2 is what the command line parser uses for wrong usage."""

    OK = 0
    BUG = 1
    USAGE = 2
    INPUT = 3
    OUTPUT = 4
    CONFIG = 5
    MODEL = 6
    MASKED = 7
    """The output is complete, but a stretch of it could not be judged and was masked whole."""
    DAMAGED = 8
    """The output is playable and judged, but the source broke off or had unreadable parts."""
    INTERRUPTED = 130


class PrivaedgeError(Exception):
    """Base of all errors with a message for the user: `cause. Remedy.`"""

    exit_code = ExitCode.BUG


class SourceError(PrivaedgeError):
    """The input cannot be opened or holds nothing that can be processed."""

    exit_code = ExitCode.INPUT


class SinkError(PrivaedgeError):
    """The output cannot be written."""

    exit_code = ExitCode.OUTPUT


class ConfigError(PrivaedgeError):
    """A profile, config file or --set value is wrong."""

    exit_code = ExitCode.CONFIG


class ModelError(PrivaedgeError):
    """A model is missing, has the wrong hash, or is not what the catalogue says."""

    exit_code = ExitCode.MODEL


class InferenceError(PrivaedgeError):
    """An engine ran but gave something that cannot be trusted (NaN, wrong shape), or threw."""

    exit_code = ExitCode.MODEL


class DeviceError(InferenceError):
    """A call of the GPU's driver failed: memory is short, the device is lost, a launch failed."""


class AuditError(PrivaedgeError):
    """The record of what was done cannot be read or written, or is not what was written."""

    exit_code = ExitCode.INPUT
