"""How long a file's delay line is: too short, and reader and writer would wait for each other."""

from __future__ import annotations

import pytest

from edge.config_io import load_config
from edge.pipeline import SoundCheck
from edge.runner import line_length


@pytest.mark.parametrize("mouths", [None, False, True])
@pytest.mark.parametrize("listens", ["true", "false"])
@pytest.mark.parametrize("profile", ["balanced", "high_privacy", "performance", "streaming"])
def test_a_full_line_holds_what_text_has_to_see(profile, listens, mouths):
    settings = load_config(profile, None, [f"audio.enabled={listens}"])
    check = None if mouths is None else SoundCheck(lambda _: [], None, mouths)
    delay_s, frames = line_length(settings, 30.0, check)
    target_fps, text_fps = settings.scheduler.target_fps, settings.video.models.text.target_fps
    refill_s = min(delay_s / 8, 0.9 / target_fps)  # as edge.pipeline has it
    assert frames >= delay_s * 30
    # Looks are at the ends of the scheduler's gaps, which are joined until one for text is due.
    between_s = 1 / text_fps + 1 / target_fps
    assert settings.text_lookahead_s + between_s <= delay_s - refill_s
