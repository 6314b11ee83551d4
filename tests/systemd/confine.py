"""Runs a command under the system call rules that systemd makes of a unit.

    python -m tests.systemd.confine UNIT COMMAND...

systemd builds the same filters with libseccomp: SystemCallFilter= as a list of what may be called,
and MemoryDenyWriteExecute= as three conditions (systemd.exec(5)). What comes after the two has no
filter of its own here.
"""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

_ALLOW: Final = 0x7FFF0000
_NEGATIVE: Final = -1  # __NR_SCMP_ERROR: a call that this architecture does not have
_MASKED_EQUAL: Final = 7  # SCMP_CMP_MASKED_EQ
_PROT_WRITE, _PROT_EXEC, _SHM_EXEC = 2, 4, 0o100000
_PR_SET_NO_NEW_PRIVS: Final = 38


class _Condition(ctypes.Structure):
    """struct scmp_arg_cmp."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("mask", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
    )


def refuse(code: int) -> int:
    """SCMP_ACT_ERRNO(code)."""
    return 0x00050000 | code


def calls(group: str) -> set[str]:
    """All system calls of one of systemd's groups, such as @system-service."""
    text = subprocess.run(
        ["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True
    ).stdout
    found: set[str] = set()
    for line in (line.strip() for line in text.splitlines()[1:]):
        if line.startswith("@"):
            found |= calls(line)
        elif line and not line.startswith("#"):
            found.add(line)
    return found


def allowed(unit: Path) -> set[str]:
    """What the SystemCallFilter= lines of a unit leave: a list, then lists taken from it."""
    found: set[str] = set()
    for line in unit.read_text().splitlines():
        key, _, value = line.partition("=")
        if key == "SystemCallFilter":
            listed: set[str] = set()
            for item in value.removeprefix("~").split():
                listed |= calls(item) if item.startswith("@") else {item}
            found = found - listed if value.startswith("~") else found | listed
    # The rest of @default, which systemd always lets through.
    return found | calls("@default")


class _Library:
    """libseccomp, as far as it is needed. Raises OSError where it is missing."""

    def __init__(self) -> None:
        library = ctypes.CDLL("libseccomp.so.2")
        library.seccomp_init.restype = ctypes.c_void_p
        library.seccomp_init.argtypes = (ctypes.c_uint32,)
        library.seccomp_load.argtypes = (ctypes.c_void_p,)
        library.seccomp_rule_add_array.argtypes = (
            *(ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint),
            ctypes.POINTER(_Condition),
        )
        self._library = library

    def load(self, default: int, rules: list[tuple[str, list[_Condition]]], action: int) -> None:
        filter_ = self._library.seccomp_init(default)
        for name, conditions in rules:
            number = self._library.seccomp_syscall_resolve_name(name.encode())
            if number <= _NEGATIVE:
                continue
            array = (_Condition * len(conditions))(*conditions)
            done = self._library.seccomp_rule_add_array(
                filter_, action, number, len(conditions), array
            )
            if done:
                raise OSError(-done, f"no rule for {name}")
        if done := self._library.seccomp_load(filter_):
            raise OSError(-done, os.strerror(-done))


def confine(unit: Path) -> None:
    """Put this process and what it starts under the rules of a unit, for good."""
    library = _Library()
    names = sorted(allowed(unit))
    if ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError("no_new_privs cannot be set")
    if "MemoryDenyWriteExecute=yes" in unit.read_text().splitlines():
        both = _PROT_WRITE | _PROT_EXEC

        def bits(argument: int, mask: int) -> list[_Condition]:
            return [_Condition(argument, _MASKED_EQUAL, mask, mask)]

        # Before the other filter: that one may take seccomp(2) away.
        library.load(
            _ALLOW,
            [
                ("mmap", bits(2, both)),
                ("mprotect", bits(2, _PROT_EXEC)),
                ("pkey_mprotect", bits(2, _PROT_EXEC)),
                ("shmat", bits(2, _SHM_EXEC)),
            ],
            refuse(errno.EPERM),
        )
    library.load(refuse(errno.EPERM), [(name, []) for name in names], _ALLOW)


if __name__ == "__main__":
    confine(Path(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
