"""What doctor found out, as data and as it is shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edge.media.encoders import HARDWARE
from edge.media.probe import Media
from edge.probe import OPTIONAL_PACKAGES, Inference, Machine

Readiness = Literal["ready", "fetch", "stands in", "broken", "off"]


@dataclass(frozen=True, slots=True)
class ModelState:
    """One model of the catalogue on this machine."""

    name: str
    task: str
    licence: str
    state: Literal["ok", "missing", "wrong hash", "unreadable"]
    path: str | None
    size: int | None
    """Bytes of the file that was found."""
    fetchable: bool


@dataclass(frozen=True, slots=True)
class LanePart:
    """One model that a lane needs, and what came of loading and trying it."""

    lane: str
    """faces, whitelist, plates, text, speech, or the name of an own detector."""
    role: str
    """What the lane needs it for: detector, recogniser, transcriber and so on."""
    readiness: Readiness
    """ready: here, loaded, and it answered a test input. fetch: a run fetches it first. stands in:
    another lane does its work. broken: a run stops. off: not asked for."""
    model: str | None
    source: str | None = None
    """The file, or the package that brings it."""
    sha256: str | None = None
    verified: bool | None = None
    """Whether the catalogue, a manifest or the package vouches for the SHA-256. False for a file of
    one's own that nobody vouches for; None where there is no file."""
    runs: str | None = None
    """Which engine runs it here, and why."""
    answers: bool | None = None
    """Whether it answered a test input; None where it was not tried."""
    why: str = ""
    """Why this one; for what is broken, the cause and the remedy."""


@dataclass(frozen=True, slots=True)
class ProfileUse:
    """What a run with one profile would use here. readiness, model and why are those of faces."""

    profile: str
    readiness: Readiness
    model: str | None
    why: str
    device: str
    input_size: int
    target_fps: float
    delay_s: float
    effect: str
    encoder: str
    lanes: tuple[LanePart, ...] = ()


@dataclass(frozen=True, slots=True)
class Engines:
    """Compiled engines on this machine that the manifest vouches for, and they are what it says."""

    folder: str
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong, as one line: cause. Remedy."""

    serious: bool
    """True where a profile cannot run; False where something could be better."""
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """All that doctor found out; json.dumps(report.as_dict()) works."""

    version: str
    machine: Machine
    media: Media
    inference: Inference
    packages: dict[str, str | None]
    """Optional distributions and their versions, None where absent."""
    model_folders: tuple[str, ...]
    models: tuple[ModelState, ...]
    engines: Engines
    profiles: tuple[ProfileUse, ...]
    live_encoder: str
    """What video.encoder.codec "auto" would take for a live output, and why."""
    redaction: str
    """What hides regions here, and whether the GPU could."""
    scaling: str
    """What scales and converts the pictures that models on the GPU look at."""
    frames: str
    """Where the frames of a live source lie with runtime.device=cuda, or why not on the GPU."""
    onnx_on_gpu: str
    """Whether ONNX Runtime computes on the GPU here, or why it does not."""
    cuda_binding: str
    """What the CUDA driver is called through, and what is installed but cannot be used for it."""
    problems: tuple[Problem, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing that is needed is broken."""
        return not any(problem.serious for problem in self.problems)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as dicts, lists, texts and numbers."""
        return dataclasses.asdict(self)


_STYLES: Final[dict[str, str]] = {
    "ok": "green",
    "works": "green",
    "ready": "green",
    "fetch": "yellow",
    "stands in": "yellow",
    "off": "yellow",
    "missing": "dim",
    "does not open here": "dim",
    "wrong hash": "bold red",
    "unreadable": "bold red",
    "broken": "bold red",
}


def render(report: Report) -> RenderableType:
    """Return the report for a rich console; as plain text where that is no terminal."""
    return Group(
        _heading(f"privaedge {report.version}"),
        _facts(_machine_facts(report)),
        _heading("Models"),
        _models_table(report),
        _heading("Profiles"),
        _profiles_table(report),
        _heading("Lanes"),
        _lanes_table(report),
        _heading("Problems" if report.problems else "No problems found"),
        *(
            Text(f"  {'✗' if p.serious else '!'} {p.text}", style="red" if p.serious else "yellow")
            for p in report.problems
        ),
    )


def _heading(text: str) -> Text:
    return Text(text, style="bold")


def _machine_facts(report: Report) -> list[tuple[str, str]]:
    machine, media, inference = report.machine, report.media, report.inference
    gpus = ", ".join(
        f"{gpu.name} (driver {gpu.driver}"
        + (f", {gpu.memory_mib / 1024:.0f} GiB)" if gpu.memory_mib else ")")
        for gpu in machine.gpus
    )
    return [
        ("System", machine.system),
        ("Python", machine.python),
        *([("Board", machine.board)] if machine.board else []),
        ("Processor", f"{machine.cpu}, {machine.usable_cores:g} of {machine.cores} cores usable"),
        ("Memory", f"{machine.memory_mib / 1024:.1f} GiB"),
        ("NVIDIA GPU", gpus or machine.gpu_trouble or "none"),
        ("PyAV", f"{media.pyav} (libavcodec {media.libraries.get('libavcodec', '?')})"),
        ("Decoders", _states(media.decoders)),
        ("Encoders", _states(media.encoders)),
        (
            "Hardware",
            "; ".join(f"{name} {media.live_encoders[name]}" for name in HARDWARE),
        ),
        ("Live encoder", report.live_encoder),
        ("Live decoder", f"{media.live_decoder}: {media.live_decoder_why}"),
        (
            "ONNX Runtime",
            f"{inference.onnxruntime or 'missing'} ({', '.join(inference.providers)})",
        ),
        ("… on the GPU", report.onnx_on_gpu),
        ("TensorRT", inference.tensorrt or "none"),
        ("CUDA binding", report.cuda_binding),
        ("Redaction", report.redaction),
        ("Scaling", report.scaling),
        ("Frames", report.frames),
        ("Engines", f"{len(report.engines.files)} in {report.engines.folder}"),
        ("Optional", _optional(report.packages)),
        ("Model folders", ", ".join(report.model_folders) or "none yet"),
    ]


def _states(states: Mapping[str, str]) -> str:
    return ", ".join(name if s == "works" else f"{name} ({s})" for name, s in states.items())


def _optional(packages: Mapping[str, str | None]) -> str:
    found = [f"{name} {version}" for name, version in packages.items() if version]
    absent = [
        f"{name} ({OPTIONAL_PACKAGES[name]})" for name, version in packages.items() if not version
    ]
    return "; ".join(
        part
        for part in (", ".join(found), f"absent: {', '.join(absent)}" if absent else "")
        if part
    )


def _facts(rows: Iterable[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(Text(f"  {name}"), Text(value))
    return table


def _table(*columns: str) -> Table:
    """Return a table of which only the last column wraps: it must be readable at 80 columns."""
    table = Table.grid(padding=(0, 2))
    for name in columns:
        table.add_column(no_wrap=name != columns[-1], overflow="fold")
    header = [f"  {columns[0]}", *columns[1:]]
    table.add_row(*(Text(name, style="dim") for name in header))
    return table


def _styled(text: str) -> Text:
    return Text(text, style=_STYLES.get(text, ""))


def _models_table(report: Report) -> Table:
    table = _table("model", "state", "licence", "task and place")
    for model in report.models:
        where = model.path or ("can be fetched" if model.fetchable else "put it in a model folder")
        table.add_row(
            Text(f"  {model.name}"),
            _styled(model.state),
            Text(model.licence),
            Text(f"{model.task}: {where}"),
        )
    return table


def _profiles_table(report: Report) -> Table:
    table = _table("profile", "state", "input", "samples", "device", "effect and encoder")
    for use in report.profiles:
        table.add_row(
            Text(f"  {use.profile}"),
            _styled(use.readiness),
            Text(f"{use.input_size} px"),
            Text(f"{use.target_fps:g}/s"),
            Text(use.device),
            Text(f"{use.effect}, {use.encoder}"),
        )
    return table


def _lanes_table(report: Report) -> Table:
    """Show each part of a lane once for all profiles for which it is the same."""
    shared: dict[LanePart, list[str]] = {}
    for use in report.profiles:
        for part in use.lanes:
            shared.setdefault(part, []).append(use.profile)
    rank = {part.lane: number for number, part in reversed(list(enumerate(shared)))}
    table = _table("lane", "state", "what")
    for part, profiles in sorted(shared.items(), key=lambda item: rank[item[0].lane]):
        everywhere = len(profiles) == len(report.profiles)
        text = _part_text(part) + ("" if everywhere else f" [{', '.join(profiles)}]")
        table.add_row(Text(f"  {part.lane}"), _styled(part.readiness), Text(text))
    return table


def _part_text(part: LanePart) -> str:
    if part.readiness in ("broken", "stands in", "off"):
        model = f" {part.model}" if part.model else ""
        return f"{part.role}{model}: {part.why}"
    facts = [part.source if part.source != part.why else None]
    if part.verified is not None:
        facts.append("SHA-256 verified" if part.verified else "a file of your own, not verified")
    if part.answers:
        facts.append("answers a test input")
    facts += [part.why, part.runs]
    return f"{part.role} {part.model}: " + "; ".join(fact for fact in facts if fact)
