"""Token classification models from a folder, with a tiny one made here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge.errors import InferenceError, ModelError
from edge.pii.spans import Kind
from edge.pii.token_classifier import TokenClassifier, kind_of

tokenizers = pytest.importorskip("tokenizers", reason="the tokenizers package is not installed")

PIECES = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "my",
    "name",
    "is",
    "john",
    "smi",
    "##th",
    "a",
    "oslo",
]
NAMES = ["O", "B-NAME_STUDENT", "I-NAME_STUDENT", "B-CITY"]
LABEL_OF = {"john": 1, "smi": 0, "##th": 2, "oslo": 3}


def _folder(path: Path, *, columns: int = len(NAMES), scale: float = 9.0) -> Path:
    """Write a model that looks each piece up in a table of logits."""
    table = np.random.default_rng(1).normal(0, 0.1, (len(PIECES), columns)).astype(np.float32)
    table[:, 0] += scale
    for piece, label in LABEL_OF.items():
        if label and label < columns:
            table[PIECES.index(piece), label] += 2 * scale
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "input_ids"], ["looked_up"], axis=0),
            helper.make_node("Unsqueeze", ["attention_mask", "last"], ["mask"]),
            helper.make_node("Cast", ["mask"], ["mask_f"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["looked_up", "mask_f"], ["logits"]),
        ],
        "tiny",
        [
            helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "tokens"])
            for n in ("input_ids", "attention_mask")
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "tokens", columns])],
        [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.array([-1]), "last")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path / "model.onnx")
    vocabulary = {piece: n for n, piece in enumerate(PIECES)}
    made = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer = tokenizers.normalizers.Lowercase()
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    made.enable_truncation(8)  # as published ones often have: it must not cut what we ask
    made.save(str(path / "tokenizer.json"))
    config = {"id2label": {str(n): name for n, name in enumerate(NAMES)}}
    (path / "config.json").write_text(json.dumps(config))
    return path


def test_a_word_is_as_private_as_its_most_private_piece(tmp_path: Path) -> None:
    tagger = TokenClassifier.load(_folder(tmp_path))
    words = ["My", "name", "is", "John", "Smith", "a", "Oslo"]
    scores = tagger.scores(words)
    assert scores.shape == (7, len(tagger.labels))
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    kinds = [tagger.labels[at].kind for at in scores.argmax(axis=1)]
    assert kinds == [None, None, None, Kind.NAME, Kind.NAME, None, Kind.PLACE]
    assert tagger.labels[scores[3].argmax()].begins
    assert not tagger.labels[scores[4].argmax()].begins


def test_long_speech_is_looked_at_in_pieces(tmp_path: Path) -> None:
    tagger = TokenClassifier.load(_folder(tmp_path))
    words = ["my"] * 700 + ["john"] + ["a"] * 400
    scores = tagger.scores(words)
    private = [at for at, row in enumerate(scores) if tagger.labels[row.argmax()].kind]
    assert private == [700]


def test_words_without_pieces_are_outside(tmp_path: Path) -> None:
    tagger = TokenClassifier.load(_folder(tmp_path))
    assert tagger.scores([]).shape == (0, len(tagger.labels))
    assert tagger.scores(["", "john"]).argmax(axis=1).tolist()[0] == 0


def test_a_model_with_other_labels_than_it_states_closes_the_gate(tmp_path: Path) -> None:
    tagger = TokenClassifier.load(_folder(tmp_path, columns=3))
    with pytest.raises(InferenceError, match="shape"):
        tagger.scores(["john"])


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "config.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    (_folder(tmp_path) / name).unlink()
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        TokenClassifier.load(tmp_path)


@pytest.mark.parametrize("text", ["{}", "[]", "not json", '{"id2label": {"7": "O"}}'])
def test_a_config_without_labels_is_refused(tmp_path: Path, text: str) -> None:
    _folder(tmp_path)
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ModelError, match="id2label"):
        TokenClassifier.load(tmp_path)


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("O", None),
        ("B-NAME_STUDENT", Kind.NAME),
        ("I-PER", Kind.NAME),
        ("B-FIRSTNAME", Kind.NAME),
        ("B-EMAIL", Kind.EMAIL),
        ("I-USERNAME", Kind.USERNAME),
        ("B-ID_NUM", Kind.ID),
        ("B-PHONE_NUM", Kind.PHONE),
        ("B-URL_PERSONAL", Kind.URL),
        ("I-STREET_ADDRESS", Kind.ADDRESS),
        ("B-ZIPCODE", Kind.ADDRESS),
        ("B-CITY", Kind.PLACE),
        ("B-LOC", Kind.PLACE),
        ("B-ORG", Kind.ORGANISATION),
        ("B-CREDITCARDNUMBER", Kind.CARD),
        ("B-DATEOFBIRTH", Kind.BIRTHDAY),
        ("B-PASSWORD", Kind.SECRET),
        ("B-IPV4", Kind.ID),
        ("B-IP_ADDRESS", Kind.ID),
        ("B-SOCIALNUM", Kind.ID),
        ("B-MISC", None),
    ],
)
def test_labels_of_public_models_have_a_kind(label: str, kind: Kind | None) -> None:
    assert kind_of(label) is kind
