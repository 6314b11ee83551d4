"""Streams that play recorded answers do what the recorded one did, and the patches go away."""

import json

import pytest

from benchmarks import streams
from benchmarks._common import BenchmarkError
from benchmarks.streams import Tape
from edge.inference.onnx import OnnxEngine

ALONE = ("audio.enabled=false", "video.models.plate.enabled=false",
         "video.models.text.enabled=false")  # fmt: skip


def test_two_streams_play_what_was_recorded(clip, face_model, capsys):
    run = OnnxEngine.run
    settings = [f"video.models.face.model={face_model}", *ALONE]
    sets = [part for one in settings for part in ("--set", one)]
    argv = [str(clip), "--streams", "2", "--engine-ms", "0", "--json", *sets]
    assert streams.run(argv) == 0
    (row,) = json.loads(capsys.readouterr().out)["streams"]
    assert row["streams"] == 2
    assert min(row["fps_each"], row["cores"], row["cpu_ms_per_frame"]) > 0
    assert row["streams_at_30_fps"] == pytest.approx(2 * row["fps_each"] / 30)
    assert OnnxEngine.run is run
    assert not hasattr(OnnxEngine, "see"), "engines on the CPU have no eyes"


def test_an_answer_that_was_not_recorded_is_an_error():
    engine = OnnxEngine.__new__(OnnxEngine)
    engine.name = "faces"
    tape = Tape({("MainThread", "faces"): [{}]})
    with tape.playing(frozenset(), 0.0):
        assert engine.run({}) == {}
        with pytest.raises(BenchmarkError, match="asked more often"):
            engine.run({})
