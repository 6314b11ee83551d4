"""Log-mel features as Whisper was trained on (Radford et al., 2022).

Frames of 25 ms every 10 ms, power spectra, triangular filters on Slaney's mel scale with equal
areas (as in librosa), log10, at most 8 below the loudest, scaled to about -1..1.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.speech.words import SAMPLE_RATE, Samples

WINDOW_S: Final = 30.0
WINDOW_FRAMES: Final = 3000
_WINDOW: Final = round(WINDOW_S * SAMPLE_RATE)
_FFT: Final = 400
_HOP: Final = 160
_QUIETEST: Final = 1e-10
_RANGE: Final = 8.0
_LINEAR_HZ: Final = 1000.0
"""Up to here mels are linear in frequency, above logarithmic."""
_HZ_PER_MEL: Final = 200.0 / 3
_LOG_STEP: Final = np.log(6.4) / 27


def log_mel(samples: Samples, bins: int) -> NDArray[np.float32]:
    """Return (1, bins, 3000) float32 for samples, (n,) at SAMPLE_RATE; what follows them is silent.

    bins: 80, or 128 from Whisper large-v3 on. Samples beyond 30 s are left out.
    """
    sound = np.zeros(_WINDOW, np.float32)
    sound[: len(samples)] = samples[:_WINDOW]
    padded = np.pad(sound, _FFT // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FFT)[::_HOP][:WINDOW_FRAMES]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_FFT) / _FFT)
    power = np.abs(np.fft.rfft(frames * window.astype(np.float32), axis=1)) ** 2
    levels = np.log10(np.maximum(_filters(bins) @ power.T, _QUIETEST))
    levels = np.maximum(levels, levels.max() - _RANGE)
    features: NDArray[np.float32] = ((levels + 4) / 4).astype(np.float32)[np.newaxis]
    return features


@cache
def _filters(bins: int) -> NDArray[np.float64]:
    """(bins, _FFT // 2 + 1): how much each frequency of a spectrum counts for each mel."""
    top = _to_mel(np.array(SAMPLE_RATE / 2))
    edges = _to_hz(np.linspace(0.0, float(top), bins + 2))
    frequencies = np.arange(_FFT // 2 + 1) * SAMPLE_RATE / _FFT
    rising = (frequencies - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequencies) / (edges[2:] - edges[1:-1])[:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    filters: NDArray[np.float64] = triangles * (2 / (edges[2:] - edges[:-2]))[:, None]
    return filters


def _to_mel(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    above = np.log(np.maximum(hertz, _LINEAR_HZ) / _LINEAR_HZ) / _LOG_STEP
    mels: NDArray[np.float64] = np.minimum(hertz, _LINEAR_HZ) / _HZ_PER_MEL + above
    return mels


def _to_hz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    corner = _LINEAR_HZ / _HZ_PER_MEL
    above = np.exp(_LOG_STEP * np.maximum(mels - corner, 0.0))
    hertz: NDArray[np.float64] = np.minimum(mels, corner) * _HZ_PER_MEL * above
    return hertz
