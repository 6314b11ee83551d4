"""Measuring a child: time, CPU of its own children, memory, failures."""

import sys
import time

import pytest

from benchmarks._common import BenchmarkError
from benchmarks._process import measure

BURN = "import time\nend = time.process_time() + 0.4\nwhile time.process_time() < end: pass"


def python(code):
    return [sys.executable, "-c", code]


def test_cpu_time_of_grandchildren_counts():
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN!r}])"
    usage = measure(python(nested))
    assert usage.exit_code == 0
    assert 0.4 <= usage.cpu_s < 3
    assert usage.seconds >= 0.4


def test_memory_is_the_childs_own():
    # A child begins with its parent's pages, and rusage counts them: this is what must not happen.
    ballast = bytearray(200 << 20)
    wait = "import time; time.sleep(0.3)"
    small = measure(python(wait))
    large = measure(python("x = bytearray(150 << 20); " + wait))
    assert len(ballast) > 0
    assert small.peak_rss_mib < 100
    assert 150 < large.peak_rss_mib < 260


def test_memory_of_two_processes_adds_up():
    hold = "x = bytearray(80 << 20); import time; time.sleep(0.5)"
    nested = f"import subprocess, sys; x = bytearray(80 << 20); subprocess.run([sys.executable, '-c', {hold!r}])"  # noqa: E501
    assert measure(python(nested)).peak_rss_mib > 160


def test_exit_code_and_output():
    usage = measure(python("import sys; print('x' * 9000); print('why', file=sys.stderr); exit(3)"))
    assert usage.exit_code == 3
    assert usage.output.strip().endswith("why")
    assert len(usage.output) <= 4000
    assert "output" not in usage.to_json()


def test_a_child_that_takes_too_long_is_ended_with_its_children(tmp_path):
    mark = tmp_path / "alive"
    inner = f"import time, pathlib; time.sleep(2); pathlib.Path({str(mark)!r}).touch()"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    begun = time.perf_counter()
    with pytest.raises(BenchmarkError, match=r"ran past 0\.5 s"):
        measure(python(outer), timeout_s=0.5)
    assert time.perf_counter() - begun < 1.8
    time.sleep(2)
    assert not mark.exists()


def test_a_missing_program_is_named(tmp_path):
    with pytest.raises(BenchmarkError, match=r"nothing-here cannot be started.*Install"):
        measure([tmp_path / "nothing-here"])
