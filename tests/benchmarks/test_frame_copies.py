"""What the host copies: counted, and less where pictures can be page-locked."""

import json

import pytest

from benchmarks import frame_copies


@pytest.mark.slow
def test_page_locked_pictures_are_copied_less(clip, capsys):
    assert frame_copies.run([str(clip), "--frames", "12", "--looks", "2", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    picture = 640 * 360 * 1.5 / 1e6
    by = {(r["shares_memory"], r["faces"], r["page_locked"]): r for r in rows}
    assert len(by) == 12
    for shared in (False, True):
        # Two looks at every sixth picture: each copied it, and now the first one does for both.
        assert abs(by[shared, 0, False]["host_mb"] - 2 * picture / 6) < 1e-6
        assert abs(by[shared, 0, True]["host_mb"] - picture / 6) < 1e-6
        for faces in frame_copies.FACES:
            before, after = by[shared, faces, False], by[shared, faces, True]
            assert after["host_mb"] < before["host_mb"]
            assert after["host_ms"] > 0
            assert (after["bus_mb"] < 0.05) == shared  # tables of regions
    assert by[False, 0, True]["bus_mb"] < by[False, 0, False]["bus_mb"]
