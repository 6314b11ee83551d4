"""What listens to a stream's sound, made from settings and loaded models."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from edge.config import Settings
from edge.lane_models import LaneModels
from edge.lanes.lane import Findings
from edge.lanes.sound_worker import SoundWorker
from edge.lanes.speech import SpeechEngines, SpeechLane
from edge.lanes.spoken import SpeechSettings
from edge.lanes.worker import LaneEvent
from edge.listening import Listening, ListeningFactory
from edge.sound_gate import SoundLine

_SPARE_S: Final = 4.0
"""Sound held beside what a verdict needs: a file's reader runs ahead by this much."""
_FILE_WAIT_S: Final = 3.0
"""Beside a chunk: how long a file waits for the words that may change what was said."""
_NICENESS: Final = 3
"""Less than reading text: what was said has to be known in time."""
_HURRY_S: Final = 1.0
"""Time before it leaves in which live sound that is still open is recognised and decided."""


def listening(settings: Settings, models: LaneModels, *, live: bool) -> ListeningFactory | None:
    """Return what makes the listener of one stream; None where the speech lane is off."""
    model, make_words, audio = models.speech, models.make_words, settings.audio
    if model is None or make_words is None:
        return None
    rules = speech_settings(settings, live=live)
    length_s = (settings.delay_s if live else rules.lag_s) + _SPARE_S

    def engines() -> SpeechEngines:
        return SpeechEngines(model.make_vad, model.make_transcriber(), make_words())

    def worker(
        on_findings: Callable[[str, Findings], None], on_event: Callable[[LaneEvent], None]
    ) -> SoundWorker:
        return SoundWorker(
            SpeechLane(engines(), rules),
            on_findings=on_findings,
            on_event=on_event,
            stall_timeout_s=settings.delay.stall_timeout_s,
            revive=lambda lane: lane.renew(engines()),
            niceness=_NICENESS,
        )

    def make(changed: threading.Condition, on_event: Callable[[LaneEvent], None]) -> Listening:
        window_s = audio.mouth_blur_window_ms / 1000
        line = SoundLine(audio.effect, length_s, mouth_window_s=window_s)
        return Listening(worker, line, changed, on_event=on_event)

    return make


def speech_settings(settings: Settings, *, live: bool) -> SpeechSettings:
    """How speech is judged. A live stream waits no longer for more words than its delay allows."""
    audio = settings.audio
    rules = SpeechSettings(
        hide=frozenset(audio.hide),
        threshold=audio.threshold,
        vad_threshold=audio.vad_threshold,
        chunk_s=audio.chunk_seconds,
        pad_before_s=audio.pad_before_s,
        pad_after_s=audio.pad_after_s,
        max_wait_s=audio.chunk_seconds + _FILE_WAIT_S,
    )
    if not live:
        return rules
    return replace(rules, max_wait_s=min(rules.max_wait_s, settings.delay_s - _HURRY_S))


def mouths(settings: Settings, models: LaneModels) -> bool:
    """Whether mouths may have to be hidden: where faces that were found may stay visible.

    Where nobody looks for faces there is no telling where mouths are, so pictures need not wait
    for words.
    """
    return settings.audio.mouth_blur and models.people is not None


def keeps_sound(settings: Settings, models: LaneModels) -> bool:
    """Whether any sound leaves: judged, or because the settings let it pass unheard."""
    if settings.audio.enabled:
        return models.speech is not None
    return settings.audio.without_lane == "pass"
