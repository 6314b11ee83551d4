"""Enrolled people on a real disk: secret, whole, and gone when removed."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge import people_store
from edge.errors import ConfigError
from edge.people import People, Person, person_of
from edge.people_store import CREDENTIAL, ENVIRONMENT, MAGIC, PeopleStore, default_people_dir

D = 128
SHA = "ab" * 32


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)


@pytest.fixture
def store(tmp_path: Path) -> PeopleStore:
    return PeopleStore(tmp_path / "state" / "people")


def someone(name: str, seed: int = 1) -> Person:
    vectors = np.random.default_rng(seed).normal(size=(3, D)).astype(np.float32)
    vectors += vectors[:1] * 3
    return person_of(name, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def enrol(store: PeopleStore, *people: Person) -> People:
    def change(known: People | None) -> People:
        known = known or People("net", SHA)
        for person in people:
            known = known.with_person(person)
        return known

    return store.update(change)


def refused(store: PeopleStore, *words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        store.load()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


def test_what_was_stored_comes_back_exactly(store: PeopleStore) -> None:
    assert store.load() is None
    ann, bob = someone("Ann", 1), someone("Bøb \u4e2d", 2)
    enrol(store, ann, bob)
    people = PeopleStore(store.folder).load()
    assert people is not None
    assert (people.names, people.model, people.model_sha256) == (("Ann", "Bøb \u4e2d"), "net", SHA)
    for stored, person in zip(people.members, (ann, bob), strict=True):
        assert np.array_equal(stored.direction, person.direction)
        assert (stored.threshold, stored.shots) == (person.threshold, person.shots)
        assert (stored.likeness, stored.spread) == (person.likeness, person.spread)


def test_only_its_owner_may_read_anything(store: PeopleStore) -> None:
    old = os.umask(0)
    try:
        enrol(store, someone("Ann"))
    finally:
        os.umask(old)
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    for path in store.folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_neither_a_name_nor_a_number_is_in_the_file_as_it_is(store: PeopleStore) -> None:
    person = someone("Wilhelmina")
    enrol(store, person)
    data = store.path.read_bytes()
    assert b"Wilhelmina" not in data
    assert person.direction.tobytes()[:16] not in data
    first = data
    enrol(store, person)
    assert store.path.read_bytes() != first, "a nonce was used twice"


def test_a_key_that_others_can_read_is_not_used(store: PeopleStore) -> None:
    enrol(store, someone("Ann"))
    store.key_path.chmod(0o640)
    refused(store, "read by others", "chmod 600")


def test_another_key_is_told_apart_from_damage(store: PeopleStore) -> None:
    enrol(store, someone("Ann"))
    store.key_path.write_bytes(os.urandom(32))
    refused(store, "another key")


@pytest.mark.parametrize("key", [b"", b"x" * 31, b"zz" * 32, "ü".encode() * 20])
def test_a_key_that_is_none_is_refused(store: PeopleStore, key: bytes) -> None:
    enrol(store, someone("Ann"))
    store.key_path.write_bytes(key)
    refused(store, "is not 32 bytes")


def test_a_lost_key_is_not_replaced_by_a_new_one(store: PeopleStore) -> None:
    enrol(store, someone("Ann"))
    store.key_path.unlink()
    refused(store, "is missing")
    with pytest.raises(ConfigError, match="is missing"):
        enrol(store, someone("Bob"))
    assert not store.key_path.exists()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_byte_is_noticed(tmp_path: Path, data: st.DataObject) -> None:
    store = PeopleStore(tmp_path / "people")
    if not store.path.exists():
        enrol(store, someone("Ann"))
        (tmp_path / "good").write_bytes(store.path.read_bytes())
    blob = bytearray((tmp_path / "good").read_bytes())
    at = data.draw(st.integers(0, len(blob) - 1))
    blob[at] ^= data.draw(st.integers(1, 255))
    store.path.write_bytes(bytes(blob))
    with pytest.raises(ConfigError):
        store.load()


@pytest.mark.parametrize(
    "blob",
    [b"", MAGIC, MAGIC + b"\x00\x02{}", MAGIC + b"\x00\x04null", MAGIC + b"\xff\xff{", b"PK"],
)
def test_a_file_of_another_kind_is_refused(store: PeopleStore, blob: bytes) -> None:
    enrol(store, someone("Ann"))
    store.path.write_bytes(blob)
    refused(store, "damaged")


def test_a_truncated_file_is_refused(store: PeopleStore) -> None:
    enrol(store, someone("Ann"))
    blob = store.path.read_bytes()
    for length in (len(blob) - 1, len(blob) // 2, 25):
        store.path.write_bytes(blob[:length])
        refused(store, "damaged")


def test_a_credential_goes_before_the_key_file(
    store: PeopleStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / CREDENTIAL).write_text(os.urandom(32).hex() + "\n")
    (folder / CREDENTIAL).chmod(0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    enrol(store, someone("Ann"))
    assert not store.key_path.exists()
    people = store.load()
    assert people is not None
    assert people.names == ("Ann",)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    refused(store, "is missing")


def test_other_credentials_are_none_of_its_business(
    store: PeopleStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    enrol(store, someone("Ann"))
    assert store.key_path.exists()


# -- power cuts, and more than one at a time -------------------------------------------------------


def cut_power(monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    """Let nothing happen from the named call on: not even what cleans up after an error."""

    def dead(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    if at == "rename":
        monkeypatch.setattr(Path, "replace", dead)
    else:
        monkeypatch.setattr(people_store.os, "fsync", dead)
    monkeypatch.setattr(Path, "unlink", dead)


@pytest.mark.parametrize("at", ["rename", "fsync"])
def test_power_cut_before_the_new_file_has_its_name_keeps_the_old_one(
    store: PeopleStore, at: str
) -> None:
    enrol(store, someone("Ann"))
    with pytest.MonkeyPatch.context() as patch:
        cut_power(patch, at)
        with pytest.raises(KeyboardInterrupt):
            enrol(store, someone("Bob"))
    left = list(store.folder.glob(".people-*"))
    assert len(left) == 1, "nothing was half-written: the test tests nothing"
    people = store.load()
    assert people is not None
    assert people.names == ("Ann",)
    enrol(store, someone("Cid"))
    assert not list(store.folder.glob(".people-*")), "remains of a power cut were left"
    people = store.load()
    assert people is not None
    assert people.names == ("Ann", "Cid")


def test_power_cut_between_key_and_people_leaves_nobody_enrolled(store: PeopleStore) -> None:
    def dead(_: People, __: bytes) -> bytes:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(people_store, "_encrypt", dead)
        with pytest.raises(KeyboardInterrupt):
            enrol(store, someone("Ann"))
    assert store.load() is None
    enrol(store, someone("Ann"))
    assert store.load() is not None


def test_a_killed_process_leaves_the_old_people_or_the_new(store: PeopleStore) -> None:
    """A real process, killed at any moment while it writes again and again."""
    enrol(store, someone("Ann"))
    script = (
        "import sys; from pathlib import Path; from edge.people_store import PeopleStore\n"
        "store = PeopleStore(Path(sys.argv[1])); print('go', flush=True)\n"
        "while True: store.update(lambda people: people)"
    )
    for delay in (0.02, 0.05, 0.09):
        child = subprocess.Popen(
            [sys.executable, "-c", script, str(store.folder)], stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        child.stdout.readline()
        threading.Event().wait(delay)
        child.kill()
        child.wait()
        child.stdout.close()
        people = store.load()
        assert people is not None
        assert people.names == ("Ann",)


def test_several_at_a_time_lose_nothing_and_readers_see_whole_files(store: PeopleStore) -> None:
    enrol(store, someone("first"))
    stop, faults = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            try:
                people = store.load()
                assert people is not None
                assert "first" in people.names
            except Exception as error:
                faults.append(error)
                return

    def write(number: int) -> None:
        for turn in range(5):
            enrol(store, someone(f"p{number}-{turn}"))

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    reader.start()
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    reader.join()
    assert not faults
    people = store.load()
    assert people is not None
    assert len(people) == 16


# -- removal -------------------------------------------------------------------------------------


def test_removal_rewrites_the_file_and_overwrites_the_old_one(store: PeopleStore) -> None:
    enrol(store, someone("Ann", 1), someone("Bob", 2))
    before = store.path.read_bytes()
    # A second name keeps the old bytes in reach: what a disk might still hold.
    os.link(store.path, store.folder.parent / "remains")
    people = store.update(lambda known: known.without("Ann"))  # type: ignore[union-attr]
    assert people.names == ("Bob",)
    remains = (store.folder.parent / "remains").read_bytes()
    assert remains == bytes(len(before))
    loaded = store.load()
    assert loaded is not None
    assert loaded.names == ("Bob",)


def test_the_last_removal_destroys_the_key_too(store: PeopleStore) -> None:
    enrol(store, someone("Ann"))
    os.link(store.key_path, store.folder.parent / "old-key")
    store.update(lambda known: known.without("Ann"))  # type: ignore[union-attr]
    assert not store.path.exists()
    assert not store.key_path.exists()
    assert (store.folder.parent / "old-key").read_bytes() == bytes(32)
    assert store.load() is None


def test_removing_somebody_unknown_changes_nothing(store: PeopleStore) -> None:
    enrol(store, someone("Ann"))
    before = store.path.read_bytes()
    with pytest.raises(ConfigError, match="Bob' is not enrolled"):
        store.update(lambda known: known.without("Bob"))  # type: ignore[union-attr]
    assert store.path.read_bytes() == before


# -- places and errors ---------------------------------------------------------------------------


def test_the_place_is_stated_or_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "stated"))
    assert default_people_dir() == tmp_path / "stated"
    monkeypatch.delenv(ENVIRONMENT)
    monkeypatch.setattr(people_store, "STATE_DIR", tmp_path / "absent")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert default_people_dir() == tmp_path / "data" / "privaedge" / "people"
    (tmp_path / "absent").mkdir()
    assert default_people_dir() == tmp_path / "absent" / "people"


def test_a_full_disk_is_told_and_changes_nothing(store: PeopleStore) -> None:
    enrol(store, someone("Ann"))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", full)  # where a file system that writes late tells of it
        with pytest.raises(ConfigError, match="No space left"):
            enrol(store, someone("Bob"))
    people = store.load()
    assert people is not None
    assert people.names == ("Ann",)
    assert not list(store.folder.glob(".people-*"))


def test_a_file_in_the_folders_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "people").write_text("")
    with pytest.raises(ConfigError, match="cannot be"):
        enrol(PeopleStore(tmp_path / "people"), someone("Ann"))


def test_a_link_is_not_followed_when_writing(store: PeopleStore) -> None:
    enrol(store, someone("Ann"))
    precious = store.folder.parent / "precious"
    precious.write_text("precious")
    store.path.unlink()
    store.path.symlink_to(precious)
    with pytest.raises(ConfigError):
        store.update(lambda _: People("net", SHA, (someone("Bob"),)))
    assert precious.read_text() == "precious"
