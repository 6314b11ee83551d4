"""Families that need PyTorch: from a user's own folder or checkpoint to a lane that works.

Weights are random, of small architectures that are made on the spot: no hub is asked. What is
compared is what users' weights are compared on as well: ONNX against the framework, and what the
runtime makes of both. True architectures: python -m benchmarks.export, or by name from --list.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from edge.config import Settings
from edge.errors import ModelError
from edge.inference.manifest import load_manifest

pytest.importorskip("torch", reason="PyTorch is not installed (extra export)")
pytest.importorskip("onnxslim", reason="graphs are slimmed by onnxslim (extra engines)")
pytest.importorskip("skimage", reason="inputs are scikit-image's photographs (extra demo)")

import torch

from export.detection import host_picture
from export.exporter import Exporter
from export.families import frameworks
from export.material import Material
from export.registry import family_of
from export.rows import Row, Wish
from export.sources import own_source
from tests.lanes.pictures import coloured
from tests.speech.spoken import quiet

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore"),  # of frameworks that are not ours
]

RTX = ("sm_86", "sm_89", "sm_120")
INPUTS = 5


def framework(name: str):
    """Import a framework as the exporter does, or skip."""
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed (extra export)")
    return frameworks.load(name)


@pytest.fixture
def engines(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "engines"
    folder.mkdir()
    monkeypatch.setenv("PRIVAEDGE_ENGINES", str(folder))
    monkeypatch.setattr("export.steps.gpu_here", lambda: None)
    return folder


def export(engines: Path, path: Path, name: str, family: str, *, trust: bool = False) -> list[Row]:
    """Export a user's own, checked on real inputs, with engines where those can be built here."""
    try:
        import tensorrt_rtx  # noqa: F401

        targets = RTX
    except ImportError:
        targets = ()
    rows: list[Row] = []
    source = own_source(name, path, family, trust=trust)
    wish = Wish("fp32", targets=targets, inputs=INPUTS)
    Exporter(engines, tell=lambda _: None, report=rows.append).export(source, wish)
    assert {row.state for row in rows if row.step != "engine"} == {"done"}, rows
    for row in rows:
        if row.step == "verify fp32":
            assert row.compared.error <= 1e-3
            assert row.compared.agreement == 1.0
            assert row.compared.inputs == INPUTS
    assert targets == () or sum(row.step.startswith("engine sm") for row in rows) % 3 == 0
    return rows


def settings_of(**tree) -> Settings:
    return Settings.model_validate({**tree, "models": {"fetch": False}})


# -- YOLO ------------------------------------------------------------------------------------------

NAMES = {0: "car", 1: "license_plate"}


def checkpoint(path: Path, config: str = "yolo11n.yaml", names=NAMES) -> Path:
    """A checkpoint as training leaves it, of a network with random weights."""
    framework("ultralytics")
    from ultralytics.nn.tasks import DetectionModel

    from export.families.yolo_pt import settle

    torch.manual_seed(0)
    network = DetectionModel(config, nc=len(names), verbose=False).eval()
    network.names = names
    network.args = {}
    settle(network)
    torch.save({"model": network, "ema": None, "train_args": {}, "epoch": -1}, path)
    return path


@pytest.mark.parametrize("config", ["yolo11n.yaml", "yolov8n.yaml", "yolo26n.yaml"])
def test_a_users_yolo_becomes_a_plate_lane(config, engines, tmp_path):
    from edge.plate_model import load_plate_model

    export(engines, checkpoint(tmp_path / "my_plates.pt", config), "plates", "yolo")
    settings = settings_of(
        video={"models": {"plate": {"model": ["plates"]}, "text": {"enabled": False}}}
    )
    model = load_plate_model(settings).model
    assert (model.name, model.family) == ("plates", "yolo")
    detector = model.make()
    assert detector.head.classes == len(NAMES)
    assert detector.head.wanted.tolist() == [1], "class names were lost"
    found = [
        detector.infer(at, host_picture(photo.rgb))
        for at, photo in enumerate(Material().pictures(4))
    ]
    assert [frame_id for frame_id, _ in found] == [0, 1, 2, 3]
    assert sum(len(plates) for _, plates in found) > 0


def test_the_command_does_it_all(tmp_path):
    path = checkpoint(tmp_path / "my_plates.pt")
    environment = {**os.environ, "PRIVAEDGE_ENGINES": str(tmp_path / "engines")}
    done = subprocess.run(
        [sys.executable, "-m", "edge.cli", "export", "--family", "yolo", str(path), "--as",
         "plates", "--precision", "fp32", "--inputs", "3", "--json"],
        env=environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "plates" in done.stdout
    (exported,) = load_manifest(tmp_path / "engines").files
    assert (exported.model, exported.family, exported.kind) == ("plates", "yolo", "onnx")
    assert "Traceback" not in done.stderr


class Intruder:
    """Unpickled, it writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return (Path.touch, (self.target,))


def test_a_checkpoint_that_would_run_code_is_refused_unread(engines, tmp_path):
    framework("ultralytics")
    path, target = tmp_path / "stranger.pt", tmp_path / "it_ran"
    torch.save({"model": Intruder(target)}, path)
    with pytest.raises(ModelError, match="--trust"):
        export(engines, path, "mine", "yolo")
    assert not target.exists()
    assert not load_manifest(engines).files


def test_a_file_of_another_kind_is_no_yolo(engines, tmp_path):
    framework("ultralytics")
    for name, data in (("text.pt", b"no checkpoint"), ("pickle.pt", pickle.dumps({}))):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ModelError, match="no yolo model"):
            export(engines, tmp_path / name, "mine", "yolo")
    broken = checkpoint(tmp_path / "cut.pt")
    broken.write_bytes(broken.read_bytes()[:-4000])
    with pytest.raises(ModelError):
        export(engines, broken, "mine", "yolo")


# -- docTR -----------------------------------------------------------------------------------------


def weights(path: Path, architecture: str) -> Path:
    """A file of tensors as docTR publishes them."""
    framework("doctr")
    from doctr import models

    from export.families.doctr import _spread

    torch.manual_seed(0)
    make = getattr(models, architecture)
    model = make(pretrained=False, pretrained_backbone=False).eval()
    _spread(model, architecture)
    torch.save(model.state_dict(), path)
    return path


def test_doctr_becomes_a_text_lane(engines, tmp_path):
    from edge.lanes.doctr_det import DoctrDetector
    from edge.lanes.doctr_rec import DoctrReader
    from edge.text_model import load_text_model

    detector, recogniser = "db_mobilenet_v3_large", "crnn_mobilenet_v3_small"
    export(engines, weights(tmp_path / f"{detector}-1.pt", detector), "finder", "doctr-det")
    export(engines, weights(tmp_path / f"{recogniser}-1.pt", recogniser), "reader", "doctr-rec")
    text = {"detector": ["finder"], "recogniser": ["reader"], "input_size": 320}
    model = load_text_model(settings_of(video={"models": {"text": text}}))
    assert model.name == "finder + reader"
    finds, reads = model.make_detector(), model.make_reader()
    assert isinstance(finds, DoctrDetector)
    assert isinstance(reads, DoctrReader)
    picture = coloured(640, 360)
    _, found = finds.infer(0, picture)
    quads = np.array([[(10, 10), (110, 10), (110, 40), (10, 40)]], np.float32)
    readings = reads.read(picture, np.concatenate([found.quads.reshape(-1, 4, 2)[:3], quads]))
    assert all(0 <= one.confidence <= 1 for one in readings)


def test_parseq_reads_as_doctr_reads_it():
    """Step by step with a cache, against docTR's own decoding."""
    framework("doctr")
    from doctr.models import parseq

    from export.families.doctr import _spread
    from export.families.parseq_graph import CachedParseq

    torch.manual_seed(1)
    model = parseq(pretrained=False, pretrained_backbone=False).eval()
    _spread(model, "parseq")
    pictures = torch.rand(3, 3, 32, 128) * 4 - 2
    with torch.no_grad():
        wanted, got = model(pictures)["logits"], CachedParseq(model)(pictures)
    assert wanted.shape == got.shape == (3, 33, len(model.vocab) + 1)
    assert float((wanted - got).abs().max() / wanted.abs().max()) < 1e-5
    assert torch.equal(wanted.argmax(-1), got.argmax(-1))


def test_weights_for_other_characters_are_told_of(engines, tmp_path):
    path = weights(tmp_path / "crnn_mobilenet_v3_small-1.pt", "crnn_mobilenet_v3_small")
    path.with_name(f"{path.name}.vocab.txt").write_text("abc\n", "utf-8")
    with pytest.raises(ModelError, match=r"vocab\.txt"):
        export(engines, path, "mine", "doctr-rec")


def test_a_pickle_that_is_no_table_of_tensors_is_refused(engines, tmp_path):
    framework("doctr")
    path, target = tmp_path / "parseq-1.pt", tmp_path / "it_ran"
    torch.save({"head.weight": Intruder(target)}, path)
    with pytest.raises(ModelError, match="more than tensors"):
        export(engines, path, "mine", "doctr-rec")
    assert not target.exists()


# -- transformers ----------------------------------------------------------------------------------


def deberta(folder: Path) -> Path:
    """A folder as save_pretrained() writes it: DeBERTa-v2, small."""
    transformers = framework("transformers")
    from export.families.token_classifier import _LABELS, _V3_SMALL, _letters

    torch.manual_seed(0)
    size = {"vocab_size": 128, "hidden_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 4, "intermediate_size": 128}  # fmt: skip
    config = transformers.DebertaV2Config(**_V3_SMALL | size, id2label=dict(enumerate(_LABELS)))
    model = transformers.DebertaV2ForTokenClassification(config).eval()
    with torch.no_grad():
        model.classifier.weight *= 30
    model.save_pretrained(str(folder))
    _letters().save(str(folder / "tokenizer.json"))
    return folder


def test_a_token_classifier_becomes_the_speech_lanes_tagger(engines, tmp_path):
    from edge.lane_models import tagger_maker

    export(engines, deberta(tmp_path / "deberta"), "mine", "token-classifier")
    tagger = tagger_maker(settings_of(audio={"tagger": ["mine"]}))()
    kinds = {str(label.kind) for label in tagger.labels if label.kind}
    assert {"name", "email", "phone", "address"} <= kinds
    scores = tagger.scores(["my", "name", "is", "John", "Smith"])
    assert scores.shape == (5, len(tagger.labels))
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)
    (file,) = load_manifest(engines).of("mine", "onnx")
    by_path = tagger_maker(settings_of(audio={"tagger": [str(engines / file.file)]}))()
    np.testing.assert_array_equal(by_path.scores(["John"]), tagger.scores(["John"]))


def whisper(folder: Path) -> Path:
    """A folder as save_pretrained() writes it: Whisper, very small."""
    transformers = framework("transformers")
    from export.families.whisper import _bytes

    torch.manual_seed(0)
    tokenizer = _bytes()
    config = transformers.WhisperConfig(
        vocab_size=tokenizer.get_vocab_size(), num_mel_bins=80, d_model=32,
        encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=64,
        decoder_layers=2, decoder_attention_heads=2, decoder_ffn_dim=64,
        decoder_start_token_id=tokenizer.token_to_id("<|startoftranscript|>"),
        pad_token_id=0, bos_token_id=0, eos_token_id=tokenizer.token_to_id("<|endoftext|>"),
    )  # fmt: skip
    model = transformers.WhisperForConditionalGeneration(config).eval()
    with torch.no_grad():
        model.proj_out.weight *= 20
    model.save_pretrained(str(folder))
    tokenizer.save(str(folder / "tokenizer.json"))
    stated = {"is_multilingual": True, "suppress_tokens": [1, 2]}
    (folder / "generation_config.json").write_text(json.dumps(stated))
    return folder


def test_a_whisper_becomes_the_speech_lanes_ears(engines, tmp_path):
    """Token for token what transformers' own greedy decoding says."""
    from edge.inference.onnx import OnnxEngine
    from edge.speech.log_mel import log_mel
    from edge.speech.whisper_onnx import WhisperOnnx
    from edge.speech_model import _exported_whisper

    folder = whisper(tmp_path / "whisper")
    export(engines, folder, "ears", "whisper")
    assert _exported_whisper("nobody", settings_of(), 1) is None
    assert _exported_whisper("ears", settings_of(), 1) is not None
    halves = {file.part: file for file in load_manifest(engines).of("ears", "onnx")}
    encoder, decoder = (
        OnnxEngine((engines / halves[part].file).read_bytes(), part)
        for part in ("encoder", "decoder")
    )
    model = WhisperOnnx(encoder, decoder, language="en")
    sound = quiet(2.0)
    answer = model.listen(sound)

    from transformers import WhisperForConditionalGeneration

    theirs = WhisperForConditionalGeneration.from_pretrained(str(folder)).eval()
    tokens = list(model._prompt)
    banned = [1, 2, *range(model._end + 1, theirs.config.vocab_size)]
    mel = torch.from_numpy(log_mel(sound, 80))
    with torch.no_grad():
        for said in answer.tokens:
            ids = torch.tensor([tokens])
            logits = theirs(input_features=mel, decoder_input_ids=ids).logits[0, -1]
            logits[banned] = -torch.inf
            assert int(logits.argmax()) == said
            tokens.append(said)


def test_features_are_those_of_transformers():
    transformers = framework("transformers")
    from edge.speech.log_mel import log_mel

    sound = (0.2 * np.sin(np.arange(48_000) ** 1.2)).astype(np.float32)
    for bins in (80, 128):
        theirs = transformers.WhisperFeatureExtractor(feature_size=bins)(
            sound, sampling_rate=16_000, return_tensors="np"
        ).input_features
        np.testing.assert_allclose(log_mel(sound, bins), theirs, atol=2e-3)


@pytest.mark.parametrize("family", ["token-classifier", "whisper"])
def test_a_folder_without_weights_is_told_of(family, engines, tmp_path):
    framework("transformers")
    kind = {"token-classifier": "DebertaV2ForTokenClassification",
            "whisper": "WhisperForConditionalGeneration"}[family]  # fmt: skip
    model = {"token-classifier": "deberta-v2", "whisper": "whisper"}[family]
    (tmp_path / "config.json").write_text(
        json.dumps({"architectures": [kind], "model_type": model})
    )
    with pytest.raises(ModelError, match="cannot load"):
        export(engines, tmp_path, "mine", family)
    with pytest.raises(ModelError, match="no whisper model"):
        family_of(own_source("mine", tmp_path / "config.json", "whisper"))
