"""The dump button: at once, whatever the lanes do, and over restarts."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from edge.appliance.panic import PanicButton
from edge.dump import DumpSwitch


def test_a_button_that_was_pressed_is_pressed_after_a_restart(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    button = PanicButton(folder)
    assert not button.on
    button.release()
    button.press()
    assert button.on
    assert not PanicButton(folder).on, "it is in memory only"
    assert button.keep()
    again = PanicButton(folder)
    assert again.on
    assert again.since == pytest.approx(time.time(), abs=5)
    again.release()
    assert not again.on
    assert not PanicButton(folder).on


@pytest.mark.parametrize("content", [b"", b"{", b"null", b'{"since": "x"}', b"\xff" * 100])
def test_in_doubt_it_is_pressed(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "panic.json").write_bytes(content)
    button = PanicButton(tmp_path)
    assert button.on
    assert button.since is None


def test_what_is_no_file_counts_as_pressed_too(tmp_path: Path) -> None:
    (tmp_path / "panic.json").symlink_to(tmp_path / "nowhere")
    assert PanicButton(tmp_path).on


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")
def test_a_folder_that_cannot_be_looked_into_counts_as_pressed(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o000)
    assert PanicButton(folder).on
    folder.chmod(0o700)


def test_a_full_disk_does_not_keep_it_from_masking(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    button = PanicButton(tmp_path / "file" / "state")
    button.press()
    assert not button.keep()
    assert button.on
    assert isinstance(button.switch, DumpSwitch)
