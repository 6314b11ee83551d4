"""Where enrolled people are kept: one encrypted file, and its key beside it or in a credential.

Format: MAGIC, the length of the header (2 bytes, big endian), the header (JSON: model, its SHA-256,
key_id, nonce), then the people as JSON, encrypted and authenticated by AES-256-GCM together with
everything before them. The key is 32 random bytes: in $CREDENTIALS_DIRECTORY/privaedge-people-key
where systemd provides it, else in people.key, mode 0600.

Every write goes to a new file that replaces the old one whole, so that a power cut leaves one of
the two. The old one's bytes are then overwritten in place, which is the best that a program can do:
a copy-on-write or journalling file system, a flash disk's spare blocks, snapshots and backups may
keep them, encrypted. When the last person is removed, the key is destroyed as well.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import hashlib
import hmac
import json
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import platformdirs

from edge.errors import ConfigError
from edge.files import give_away, sync_folder, write_atomically
from edge.people import People, Person

ENVIRONMENT: Final = "PRIVAEDGE_PEOPLE"
"""Environment variable with the folder to keep enrolled people in."""
STATE_DIR: Final = Path("/var/lib/privaedge")
"""The service's state directory on a box."""
CREDENTIAL: Final = "privaedge-people-key"
MAGIC: Final = b"privaedge people 1\n"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_MOST_BYTES: Final = 64 << 20
"""A thousand people of 2,048 values each take 11 MB."""
_FILE: Final = "people.enc"
_KEY: Final = "people.key"
_LOCK: Final = "people.lock"
_PART: Final = ".people-"
"""How the names of files begin that are being written."""


def default_people_dir() -> Path:
    """Return $PRIVAEDGE_PEOPLE, else the box's folder where it is writable, else the user's."""
    if stated := os.environ.get(ENVIRONMENT):
        return Path(stated).expanduser()
    if os.access(STATE_DIR, os.W_OK):
        return STATE_DIR / "people"
    return platformdirs.user_data_path("privaedge") / "people"


class PeopleStore:
    """The enrolled people of one folder. Every method reads or writes the disk."""

    def __init__(self, folder: Path | None = None) -> None:
        """folder: default_people_dir() where None; made when somebody is enrolled."""
        self.folder = default_people_dir() if folder is None else folder
        self.path = self.folder / _FILE
        self.key_path = self.folder / _KEY

    def load(self) -> People | None:
        """Return the enrolled people, or None where nobody ever was.

        Raises ConfigError where they cannot be read, the key is missing or another's, or either
        file was changed by anybody else.
        """
        with self._unchanging():
            return self._load()

    def _load(self) -> People | None:
        try:
            size = self.path.stat().st_size
            blob = self.path.read_bytes() if size <= _MOST_BYTES else b""
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _trouble(self.path, "read", error) from None
        return self._decrypt(blob, self._key())

    def update(self, change: Callable[[People | None], People]) -> People:
        """Replace the people by what `change` makes of them, and return that.

        One process at a time. Raises ConfigError, and what `change` raises; then nothing changes.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._locked():
                self._sweep()
                people = change(self._load())
                if len(people):
                    self._write(people)
                else:
                    self._destroy()
        except OSError as error:
            raise _trouble(self.folder, "written", error) from None
        return people

    # -- the file ------------------------------------------------------------------------------

    def _write(self, people: People) -> None:
        key = self._key(make=not self.path.exists())
        with _superseded(self.path):
            _replace(self.path, _encrypt(people, key))

    def _destroy(self) -> None:
        """Delete the people, and the key that could still read remains of them."""
        for path in (self.path, self.key_path):
            with _superseded(path):
                path.unlink(missing_ok=True)
        sync_folder(self.folder)

    def _sweep(self) -> None:
        """Delete what a power cut left half-written."""
        for part in self.folder.glob(f"{_PART}*"):
            with _superseded(part):
                part.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with _lock_file(self.folder / _LOCK) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def _unchanging(self) -> Iterator[None]:
        """Keep writers out, which overwrite the file that is being read."""
        try:
            descriptor = os.open(self.folder / _LOCK, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # nobody ever wrote; or another user's, who has to make do without
            yield
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield
        finally:
            os.close(descriptor)

    # -- the key -------------------------------------------------------------------------------

    def _key(self, *, make: bool = False) -> bytes:
        provided = os.environ.get("CREDENTIALS_DIRECTORY")
        if provided is not None and (path := Path(provided) / CREDENTIAL).exists():
            return _read_key(path, private=False)  # systemd sees to its permissions
        try:
            return _read_key(self.key_path, private=True)
        except FileNotFoundError:
            if not make:
                raise ConfigError(
                    f"the key of the enrolled people, {self.key_path}, is missing. Put it back, or "
                    f"delete {self.path} and enrol everybody anew."
                ) from None
        key = secrets.token_bytes(_KEY_BYTES)
        _replace(self.key_path, key)
        return key

    def _decrypt(self, blob: bytes, key: bytes) -> People:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            header, end = _header(blob)
            nonce = base64.b64decode(header["nonce"], validate=True)
            known = str(header["key_id"])
            if len(nonce) != _NONCE_BYTES:
                raise ValueError
        except (ValueError, KeyError, TypeError, binascii.Error):
            raise self._damaged() from None
        if not hmac.compare_digest(known, _key_id(key)):
            raise ConfigError(
                f"{self.path} was written with another key. Put the right key back, or delete the "
                "file and enrol everybody anew."
            )
        try:
            plain = AESGCM(key).decrypt(nonce, blob[end:], blob[:end])
            return _parse(header, json.loads(plain))
        except (InvalidTag, ValueError, KeyError, TypeError, ConfigError):
            raise self._damaged() from None

    def _damaged(self) -> ConfigError:
        return ConfigError(
            f"{self.path} is damaged or was changed by something else. Put a copy back, or delete "
            "it and enrol everybody anew."
        )


# -- bytes ---------------------------------------------------------------------------------------


def _encrypt(people: People, key: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = secrets.token_bytes(_NONCE_BYTES)
    header = json.dumps({
        "model": people.model,
        "model_sha256": people.model_sha256,
        "key_id": _key_id(key),
        "nonce": base64.b64encode(nonce).decode(),
    }).encode()  # fmt: skip
    front = MAGIC + len(header).to_bytes(2, "big") + header
    plain = json.dumps([
        {
            "name": person.name,
            "direction": base64.b64encode(person.direction.astype("<f4").tobytes()).decode(),
            "threshold": person.threshold,
            "shots": person.shots,
            "likeness": person.likeness,
            "spread": person.spread,
        }
        for person in people.members
    ]).encode()  # fmt: skip
    return front + AESGCM(key).encrypt(nonce, plain, front)


def _header(blob: bytes) -> tuple[dict[str, Any], int]:
    """Return the header and where it ends. Raises ValueError."""
    start = len(MAGIC) + 2
    end = start + int.from_bytes(blob[len(MAGIC) : start], "big")
    if not blob.startswith(MAGIC) or len(blob) < end:
        raise ValueError
    header = json.loads(blob[start:end])
    if not isinstance(header, dict):
        raise ValueError
    return header, end


def _parse(header: dict[str, Any], rows: list[dict[str, Any]]) -> People:
    members = tuple(
        Person(
            row["name"],
            np.frombuffer(base64.b64decode(row["direction"]), "<f4").astype(np.float32),
            float(row["threshold"]),
            int(row["shots"]),
            float(row["likeness"]),
            float(row["spread"]),
        )
        for row in rows
    )
    return People(str(header["model"]), str(header["model_sha256"]), members)


def _key_id(key: bytes) -> str:
    """Tell keys apart without telling anything of them."""
    return hmac.new(key, b"privaedge people key", hashlib.sha256).hexdigest()[:16]


def _read_key(path: Path, *, private: bool) -> bytes:
    """Read 32 bytes, or as many in hexadecimal. Raises FileNotFoundError, ConfigError."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            raw = file.read(4 * _KEY_BYTES)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _trouble(path, "read", error) from None
    if private and mode & 0o077:
        raise ConfigError(f"key {path} can be read by others. Make it private: chmod 600 {path}")
    if len(raw) == _KEY_BYTES:
        return raw
    with contextlib.suppress(ValueError):
        if len(key := bytes.fromhex(raw.decode("ascii").strip())) == _KEY_BYTES:
            return key
    raise ConfigError(
        f"key {path} is not {_KEY_BYTES} bytes. Put the right key back, or make one: "
        "openssl rand -hex 32"
    )


# -- files ---------------------------------------------------------------------------------------


def _replace(path: Path, data: bytes) -> None:
    """Put a file that only its owner may read in the place of another, whole or not at all."""
    write_atomically(path, data, mode=0o600, prefix=_PART)


@contextlib.contextmanager
def _lock_file(path: Path) -> Iterator[int]:
    """Open the file that writers lock, for its owner only."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
        give_away(path, descriptor)
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _superseded(path: Path) -> Iterator[None]:
    """Overwrite, after the block, what the file was that the block replaces or deletes."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield
        return
    try:
        yield
        size = os.fstat(descriptor).st_size
        os.lseek(descriptor, 0, os.SEEK_SET)
        _write_all(descriptor, bytes(size))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _trouble(path: Path, what: str, error: OSError) -> ConfigError:
    cause = error.strerror or type(error).__name__
    return ConfigError(
        f"{path} cannot be {what}: {cause}. Give this user access, or set ${ENVIRONMENT} to a "
        "folder of its own."
    )
