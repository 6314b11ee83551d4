"""The audit against power cuts, kills and forgers."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.appliance import audit_files as files
from edge.appliance.audit import AuditLog
from edge.appliance.audit_record import MOST_BYTES
from edge.appliance.audit_verify import Report, verify
from edge.errors import AuditError, ExitCode
from tests.command import invoke

_HEALED_EVERY = 11


def write(folder: Path, count: int, **options: int) -> None:
    log = AuditLog(folder, **options)  # type: ignore[arg-type]
    for number in range(count):
        log.append("minute", {"stream": "front", "frames": number})
    log.close()


def last_file(folder: Path) -> Path:
    return files.segments(folder)[-1]


def events(folder: Path) -> list[str]:
    found: list[str] = []
    verify(folder, on_record=lambda record: found.append(record.event))
    return found


def test_what_was_written_is_whole_and_goes_on(tmp_path: Path) -> None:
    write(tmp_path, 5)
    write(tmp_path, 5)
    report = verify(tmp_path)
    assert report.state == "whole"
    assert (report.records, report.first, report.last.seq) == (11, 1, 11)
    assert events(tmp_path)[0] == "created"
    assert not report.recovered


def test_files_rotate_and_the_chain_goes_through_them(tmp_path: Path) -> None:
    write(tmp_path, 40, segment_bytes=2000, keep=1000)
    assert len(files.segments(tmp_path)) > 5
    report = verify(tmp_path)
    assert (report.state, report.records) == ("whole", 41)
    middle = files.segments(tmp_path)[2]
    middle.unlink()
    assert verify(tmp_path).state == "tampered"


def test_the_oldest_files_are_deleted_and_the_record_says_so(tmp_path: Path) -> None:
    write(tmp_path, 80, segment_bytes=2000, keep=4)
    assert len(files.segments(tmp_path)) <= 5
    report = verify(tmp_path)
    assert report.state == "whole"
    assert report.first > 40
    # Nobody else can delete one more without a trace.
    files.segments(tmp_path)[0].unlink()
    assert verify(tmp_path).state == "tampered"


def _before_and_after(folder: Path, count: int) -> tuple[bytes, bytes, bytes, bytes]:
    """The last file and the head, before and after one more record."""
    write(folder, count)
    head = folder / "head.json"
    old, old_head = last_file(folder).read_bytes(), head.read_bytes()
    write(folder, 1)
    return old, old_head, last_file(folder).read_bytes(), head.read_bytes()


def test_a_power_cut_at_every_byte_of_the_last_write(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    old, old_head, new, new_head = _before_and_after(folder, 2)
    keys = {name: (folder / name).read_bytes() for name in ("key", "key.pub")}
    name = last_file(folder).name
    for size in range(len(old), len(new) + 1):
        after_cut = tmp_path / "cut"
        after_cut.mkdir()
        for file, content in (*keys.items(), (name, new[:size]), ("head.json", old_head)):
            (after_cut / file).write_bytes(content)
        report = verify(after_cut)
        torn = size - len(old)
        done = size == len(new)
        assert report.state == ("whole" if torn == 0 or done else "cut"), (size, report.problem)
        assert report.records == (4 if done else 3)
        if torn % _HEALED_EVERY and not done:  # each costs a dozen waits for the disk
            shutil.rmtree(after_cut)
            continue
        write(after_cut, 1)
        healed = verify(after_cut)
        assert healed.state == "whole"
        assert bool(healed.recovered) == (report.state == "cut"), "a cut must stay visible"
        assert healed.records == report.records + 1 + len(healed.recovered)
        # The same bytes with a head that vouches for the record: no power cut does that.
        if not done:
            (after_cut / name).write_bytes(new[:size])
            (after_cut / "head.json").write_bytes(new_head)
            assert verify(after_cut).state == "tampered"
            write(after_cut, 1)
            assert verify(after_cut).state == "tampered", "nor does going on hide it"
        shutil.rmtree(after_cut)


@pytest.mark.parametrize("tail", ["zeros", "half zeros", "zeros and an end", "another's line"])
def test_what_else_a_file_system_may_leave_of_the_last_write(tmp_path: Path, tail: str) -> None:
    old, old_head, new, _ = _before_and_after(tmp_path, 2)
    line = new[len(old) :]
    left = {
        "zeros": b"\0" * len(line),
        "half zeros": b"\0" * (len(line) // 2) + line[len(line) // 2 :],
        "zeros and an end": b"\0" * 100 + b"\n",
        "another's line": b'{"some":"json"}\n',
    }[tail]
    last_file(tmp_path).write_bytes(old + left)
    (tmp_path / "head.json").write_bytes(old_head)
    assert verify(tmp_path).state == "cut"
    write(tmp_path, 1)
    assert verify(tmp_path).state == "whole"
    assert events(tmp_path)[-2:] == ["recovered", "minute"]


def test_a_power_cut_in_the_first_line_of_a_new_file(tmp_path: Path) -> None:
    write(tmp_path, 8, segment_bytes=1200, keep=100)
    place = verify(tmp_path).last
    files.segment_at(tmp_path, place.seq + 1).write_bytes(b'{"at":"20')
    assert verify(tmp_path).state == "cut"
    write(tmp_path, 1, segment_bytes=1200, keep=100)
    report = verify(tmp_path)
    assert report.state == "whole"
    assert report.recovered
    assert not list(tmp_path.glob("torn-*"))


def test_a_power_cut_before_the_first_head(tmp_path: Path) -> None:
    write(tmp_path, 0)
    (tmp_path / "head.json").unlink()
    assert verify(tmp_path).state == "whole"
    write(tmp_path, 1)
    assert verify(tmp_path).state == "whole"
    (tmp_path / "head.json").unlink()
    assert verify(tmp_path).state == "tampered"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit")
    write(folder, 4)
    return folder


def _forged(written: Path, content: bytes) -> Report:
    folder = written.parent / "forged"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(written, folder)
    last_file(folder).write_bytes(content)
    return verify(folder)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_byte_can_be_changed_put_in_or_taken_out(written: Path, data: st.DataObject) -> None:
    content = last_file(written).read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    kind = data.draw(st.sampled_from(["change", "put in", "take out"]))
    byte = data.draw(st.integers(0, 255))
    if kind == "change":
        forged = content[:at] + bytes([byte]) + content[at + 1 :]
    elif kind == "put in":
        forged = content[:at] + bytes([byte]) + content[at:]
    else:
        forged = content[:at] + content[at + 1 :]
    if forged != content:
        assert _forged(written, forged).state == "tampered"


def test_no_record_can_be_left_out_doubled_or_moved(written: Path) -> None:
    lines = last_file(written).read_bytes().splitlines(keepends=True)
    for forged in (
        lines[1:],
        lines[:-1],
        lines[:-2],
        [*lines[:1], *lines[2:]],
        [*lines, lines[-1]],
        [lines[0], lines[2], lines[1], *lines[3:]],
    ):
        report = _forged(written, b"".join(forged))
        assert report.state == "tampered" or report.torn_bytes, report
        if len(forged) <= len(lines):
            assert report.state == "tampered"


def test_a_doubled_last_record_is_no_record(written: Path) -> None:
    """It is signed, so that no power cut left it."""
    lines = last_file(written).read_bytes().splitlines(keepends=True)
    assert _forged(written, b"".join([*lines, lines[-1]])).state == "tampered"


def test_another_key_or_a_head_of_ones_own_do_not_pass(written: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write(other, 4)
    assert verify(written, files.load_public(other)).state == "tampered"
    forged = tmp_path / "forged"
    shutil.copytree(written, forged)
    head = json.loads((forged / "head.json").read_text())
    (forged / "head.json").write_text(json.dumps({**head, "seq": 2}))
    report = verify(forged)
    assert report.state == "tampered"
    assert "head.json was changed" in str(report.problem)


_WRITER = """
import sys
from pathlib import Path
from edge.appliance.audit import AuditLog
log = AuditLog(Path(sys.argv[1]), segment_bytes=4000, keep=1000)
print("go", flush=True)
number = 0
while True:
    number = log.append("minute", {"number": number, "text": "x" * (number % 700)})
    print(number, flush=True)
"""


def test_killed_at_any_moment_nothing_that_was_acknowledged_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    acknowledged = 0
    for turn in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(folder)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"go\n"
        time.sleep(random.Random(turn).uniform(0.0, 0.12))
        process.send_signal(signal.SIGKILL)
        numbers = process.stdout.read().splitlines()
        process.wait()
        process.stdout.close()
        whole = [int(n) for n in numbers if n]
        acknowledged = max([acknowledged, *whole[:-1]])
        report = verify(folder)
        assert report.state in ("whole", "cut"), report.problem
        assert report.last.seq >= acknowledged
    assert acknowledged > 0


def test_only_one_process_writes(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    with pytest.raises(AuditError, match="another process writes"):
        AuditLog(tmp_path)
    log.close()
    AuditLog(tmp_path).close()
    with pytest.raises(AuditError):
        log.append("late")


def test_what_does_not_fit_on_the_disk_is_not_half_recorded(tmp_path: Path) -> None:
    code = (
        "import resource, sys\nfrom pathlib import Path\n"
        "from edge.appliance.audit import AuditLog\nfrom edge.errors import AuditError\n"
        "log = AuditLog(Path(sys.argv[1]))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1500, resource.RLIM_INFINITY))\n"
        "done = 0\n"
        "try:\n    while True:\n        done = log.append('minute', {'text': 'x' * 100})\n"
        "except AuditError as error:\n    assert 'cannot be written' in str(error)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)\n"
        "assert log.append('minute', {}) == done + 1\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=60)
    report = verify(tmp_path)
    assert report.state == "whole"
    assert not report.recovered


def test_a_record_is_plain_and_short(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    with pytest.raises(ValueError, match="bytes at most"):
        log.append("long", {"text": "x" * MOST_BYTES})
    with pytest.raises(ValueError, match="JSON compliant"):
        log.append("odd", {"number": float("nan")})
    log.append("fine", {"text": 'ä\n"\u2028'})
    log.close()
    assert verify(tmp_path).records == 2


def test_a_lost_key_is_told_and_not_replaced(tmp_path: Path) -> None:
    write(tmp_path, 1)
    (tmp_path / "key").rename(tmp_path / "elsewhere")
    with pytest.raises(AuditError, match="is gone"):
        AuditLog(tmp_path)
    assert verify(tmp_path).state == "whole"


def test_the_command(written: Path, tmp_path: Path) -> None:
    key = files.public_text(files.load_public(written))
    done = invoke("audit", "verify", written, "--key", key)
    assert done.code == 0
    assert "whole" in done.out
    out = tmp_path / "out.jsonl"
    assert invoke("audit", "export", written, "-o", out, "--key", key).code == 0
    assert out.read_bytes() == last_file(written).read_bytes()
    invoke("audit", "export", written, "-o", out).refused(ExitCode.INPUT, "Choose another file")

    told = json.loads(invoke("audit", "verify", written, "--json").out)
    assert (told["state"], told["records"]) == ("whole", 5)
    invoke("audit", "verify", tmp_path / "none").refused(ExitCode.INPUT, "cannot be read")

    cut = tmp_path / "cut"
    shutil.copytree(written, cut)
    with last_file(cut).open("ab") as file:
        file.write(b'{"at"')
    done = invoke("audit", "verify", cut)
    assert done.code == ExitCode.DAMAGED
    assert "as by a power cut" in done.out
    last_file(cut).write_bytes(last_file(written).read_bytes()[:-1])
    done = invoke("audit", "verify", cut)
    assert done.code == ExitCode.INPUT
    assert "TAMPERED" in done.out
