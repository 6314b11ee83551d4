"""What `privaedge doctor` says: this machine, its models, what each profile would use, and what
is wrong with a remedy for it.

collect() gathers plain data, render() (from doctor_report.py) shows it. Nothing is fetched, written
or changed, and nothing in the report identifies the machine or its user: the home folder is
shown as ~.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from edge import __version__
from edge.config import Settings
from edge.config_io import available_profiles, load_config
from edge.doctor_gpu import (
    binding_use,
    device_use,
    frames_use,
    onnx_use,
    redaction_use,
    scaling_use,
)
from edge.doctor_lanes import LaneDoctor
from edge.doctor_report import (
    Engines,
    LanePart,
    ModelState,
    Problem,
    ProfileUse,
    Report,
    render,
)
from edge.errors import ConfigError, ModelError, SinkError
from edge.inference.manifest import engines_dir, load_manifest, read_vouched
from edge.media.encoders import AUTO, EncoderState, choose_encoder
from edge.media.probe import Media, probe_media
from edge.model_store import ModelStore, store_of
from edge.probe import (
    OPTIONAL_PACKAGES,
    Inference,
    Machine,
    package_version,
    probe_inference,
    probe_machine,
)

__all__ = ["Problem", "Report", "collect", "load_profiles", "render"]

_CONFLICTS: Final = (
    # Pairs that install the same files, so that the one installed last breaks the other.
    ("opencv-python", "opencv-python-headless"),
    ("opencv-contrib-python", "opencv-python-headless"),
    ("onnxruntime-gpu", "onnxruntime"),
)


def load_profiles() -> dict[str, Settings | ConfigError]:
    """Load every installed profile; one that is wrong is represented by its error."""
    loaded: dict[str, Settings | ConfigError] = {}
    for name in available_profiles():
        try:
            loaded[name] = load_config(name)
        except ConfigError as error:
            loaded[name] = error
    return loaded


def collect(
    settings_by_profile: Mapping[str, Settings | ConfigError],
    store_for: Callable[[Settings], ModelStore] = store_of,
) -> Report:
    """Look at this machine and at what each profile would do on it.

    Takes about two seconds, up to 15 s more where a GPU driver hangs. Raises ConfigError where the
    model catalogue that came with the installation cannot be read.
    """
    machine, media, inference = probe_machine(), probe_media(), probe_inference()
    store = store_for(Settings())
    models = [_model_state(store, name) for name in store.catalogue.names()]
    problems = [*_installation_problems(machine, media, inference), *_model_problems(store, models)]

    uses: list[ProfileUse] = []
    lane_doctor = LaneDoctor()
    for name, settings in settings_by_profile.items():
        if isinstance(settings, ConfigError):
            problems.append(Problem(True, f"profile {name}: {settings}"))
            continue
        use, found = _profile_use(name, settings, store_for(settings), media, lane_doctor)
        uses.append(use)
        problems += found
    engines, found = _engines()
    problems += found
    return Report(
        version=__version__,
        machine=machine,
        media=media,
        inference=inference,
        packages={name: package_version(name) for name in OPTIONAL_PACKAGES},
        model_folders=tuple(_tilde(str(folder)) for folder in store.search_dirs),
        models=tuple(models),
        engines=engines,
        profiles=tuple(uses),
        live_encoder=_live_encoder(media),
        redaction=_tilde(redaction_use(machine)),
        scaling=_tilde(scaling_use(machine)),
        frames=_tilde(frames_use(machine)),
        onnx_on_gpu=_tilde(onnx_use(machine)),
        cuda_binding=_tilde(binding_use(machine)),
        problems=tuple(
            dict.fromkeys(Problem(p.serious, _tilde(p.text)) for p in _worst_first(problems))
        ),
    )


def _worst_first(problems: Iterable[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda problem: not problem.serious)


def _tilde(text: str) -> str:
    """Replace the home folder by ~, which keeps user names out of reports that people post."""
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home() raises where there is none
    return text.replace(home, "~") if len(home) > 1 else text


def _model_state(store: ModelStore, name: str) -> ModelState:
    entry = store.catalogue[name]
    try:
        status = store.status(name)
    except ModelError:
        return ModelState(
            name, entry.task, entry.licence, "unreadable", None, None, entry.fetchable
        )
    path = None if status.path is None else _tilde(str(status.path))
    return ModelState(
        name, entry.task, entry.licence, status.state, path, status.size, entry.fetchable
    )


def _model_problems(store: ModelStore, models: Sequence[ModelState]) -> list[Problem]:
    """Report models that are on disk but must not be used, in the store's own words."""
    problems = []
    for model in models:
        if model.state in ("wrong hash", "unreadable"):
            try:
                store.find(model.name)
            except ModelError as error:
                problems.append(Problem(True, str(error)))
    return problems


def _installation_problems(
    machine: Machine, media: Media, inference: Inference
) -> Iterable[Problem]:
    if inference.onnxruntime is None:
        yield Problem(
            True,
            "ONNX Runtime cannot be imported. Run 'pip install --force-reinstall onnxruntime'.",
        )
    if media.encoders.get("libx264") != "works":
        yield Problem(
            True,
            "this FFmpeg build has no working libx264 encoder. "
            "Install PyAV's own wheel: 'pip install --force-reinstall --only-binary av av'.",
        )
    for name, state in media.decoders.items():
        if state != "works":
            yield Problem(
                False,
                f"this FFmpeg build cannot decode {name}. Install PyAV's own wheel: "
                "'pip install --force-reinstall --only-binary av av'.",
            )
    for other, ours in _CONFLICTS:
        if package_version(other) and package_version(ours):
            yield Problem(
                False,
                f"{other} and {ours} are both installed and overwrite each other's files. "
                "Uninstall both, then install the one that is meant.",
            )
    if machine.gpu_trouble:
        yield Problem(
            False,
            f"the NVIDIA driver does not answer: {machine.gpu_trouble.rstrip('.')}. "
            "Restart the machine or reinstall its driver; until then everything runs on the CPU.",
        )


def _profile_use(
    name: str, settings: Settings, store: ModelStore, media: Media, lane_doctor: LaneDoctor
) -> tuple[ProfileUse, list[Problem]]:
    face, encoder = settings.video.models.face, settings.video.encoder
    parts = list(lane_doctor.parts(settings, store))
    problems = _lane_problems(name, parts, store)
    codec, trouble = encoder_use(encoder.codec, media.live_encoders)
    if trouble is not None:
        problems = [*problems, Problem(False, f"profile {name}: {trouble}")]
    # Presets are x264's and x265's.
    preset = f" {encoder.preset}" if codec.startswith("lib") else ""
    rate = (
        f"crf {encoder.rate_factor}"
        if encoder.bitrate is None
        else f"{encoder.bitrate / 1e6:g} Mbit/s"
    )
    shown = tuple(_without_home(part) for part in parts)
    faces = shown[0]
    use = ProfileUse(
        profile=name,
        readiness=faces.readiness,
        model=faces.model,
        why=faces.why,
        device=device_use(settings.runtime.device, parts),
        input_size=face.input_size,
        target_fps=settings.scheduler.target_fps,
        delay_s=settings.delay_s,
        effect=f"{settings.blur.type} {settings.blur.shape}",
        encoder=f"{codec}{preset} {rate}",
        lanes=shown,
    )
    return use, problems


def encoder_use(codec: str, present: Mapping[str, EncoderState]) -> tuple[str, str | None]:
    """Return the encoder that a live output would get, and what is wrong with that, if anything.

    codec: as set, also one for files only. present: what was found of each.
    """
    try:
        choice = choose_encoder(codec, present)
    except SinkError:
        return codec, None  # for files, or x264 is missing, which is told of by itself
    if codec in (AUTO, choice.name):
        return choice.name, None
    return choice.name, (
        f"{choice.notes[0]}, so {choice.name} stands in. "
        f"Install its driver, or set video.encoder.codec to {AUTO}."
    )


def _live_encoder(media: Media) -> str:
    try:
        choice = choose_encoder(AUTO, media.live_encoders)
    except SinkError:
        return "none"
    return f"{choice.name}: {choice.why}"


def _lane_problems(profile: str, parts: Sequence[LanePart], store: ModelStore) -> list[Problem]:
    """What is wrong with the models of a profile's lanes, in the order of the lanes."""
    problems = []
    for part in parts:
        match part.readiness:
            case "broken":
                problems.append(Problem(True, part.why))
            case "fetch":
                problems += _cache_problems(store.cache_dir)
            case "stands in":
                problems.append(Problem(False, part.why))
            case "off" if part.lane == "faces":
                text = f"profile {profile} does not look for faces. Set {part.why.split()[0]} "
                problems.append(Problem(False, text + "to true."))
    return problems


def _without_home(part: LanePart) -> LanePart:
    source = None if part.source is None else _tilde(part.source)
    runs = None if part.runs is None else _tilde(part.runs)
    return dataclasses.replace(part, source=source, why=_tilde(part.why), runs=runs)


def _cache_problems(folder: Path) -> list[Problem]:
    """Check that a fetched model could be stored: the nearest folder that exists is writable."""
    existing = next((p for p in (folder, *folder.parents) if p.exists()), folder)
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        return []
    return [
        Problem(
            True,
            f"models cannot be stored in {folder}. Make {existing} writable, "
            "or set PRIVAEDGE_MODELS to a folder that has them.",
        )
    ]


def _engines() -> tuple[Engines, list[Problem]]:
    """Return the engines that the manifest vouches for, each read and compared with it."""
    folder = engines_dir()
    found: list[str] = []
    problems: list[Problem] = []
    try:
        for file in load_manifest(folder).files:
            if file.kind != "engine":
                continue
            try:
                read_vouched(folder, file)
                found.append(file.file)
            except ModelError as error:
                problems.append(Problem(True, str(error)))
    except ModelError as error:
        problems.append(Problem(True, str(error)))
    return Engines(_tilde(str(folder)), tuple(found)), problems
