"""Log-mel features: against the implementation of another package, and what silence is."""

from __future__ import annotations

import numpy as np
import pytest

from edge.speech.log_mel import WINDOW_FRAMES, log_mel
from edge.speech.words import SAMPLE_RATE


def tones(seconds: float) -> np.ndarray:
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    noise = np.random.default_rng(0).normal(0, 0.01, len(time))
    return (0.3 * np.sin(2 * np.pi * (200 + 900 * time) * time) + noise).astype(np.float32)


@pytest.mark.parametrize("bins", [80, 128])
@pytest.mark.parametrize("seconds", [0.3, 5.0, 30.0])
def test_features_are_whispers(bins, seconds):
    module = pytest.importorskip(
        "faster_whisper.feature_extractor", reason="the package faster-whisper is not installed"
    )
    sound = tones(seconds)
    padded = np.pad(sound, (0, 30 * SAMPLE_RATE - len(sound)))
    theirs = module.FeatureExtractor(feature_size=bins)(padded, padding=0)[:, :WINDOW_FRAMES]
    ours = log_mel(sound, bins)
    assert ours.shape == (1, bins, WINDOW_FRAMES)
    assert ours.dtype == np.float32
    assert np.abs(ours[0] - theirs).max() < 2e-3


def test_silence_and_what_is_beyond_the_window():
    assert np.ptp(log_mel(np.zeros(0, np.float32), 80)) == 0
    long = tones(31.0)
    np.testing.assert_array_equal(log_mel(long, 80), log_mel(long[: 30 * SAMPLE_RATE], 80))
