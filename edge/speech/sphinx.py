"""pocketsphinx's decoder, told which words were said, without stopping every other Python thread.

The package's own binding holds the interpreter's lock for as long as C code works: 50 ms for a few
seconds of speech, in which no frame can leave. Its extension module, however, exports the C
interface; called through ctypes, what takes long runs without the lock. Where that interface is not
to be had (another release, a build that hides its symbols), the binding is used, with the same
answers.

Everything given to a decoder is private, and its messages hold it: none leaves this module.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import logging
import os
import threading
import weakref
from collections.abc import Iterator, Mapping
from ctypes import POINTER, byref, c_char_p, c_double, c_int, c_int16, c_int32, c_size_t, c_void_p
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

_log = logging.getLogger(__name__)

Pcm = NDArray[np.int16]

_RELEASE: Final = "5.1.1"
"""Of pocketsphinx, whose headers the signatures below are from."""
_MODULE: Final = "pocketsphinx._pocketsphinx"
_ACOUSTIC_MODEL: Final = "en-us/en-us"
_DICTIONARY: Final = "en-us/cmudict-en-us.dict"
_SILENT: Final = "FATAL"
"""Log level: what is said below it holds words."""

_Signature = tuple[Any, tuple[Any, ...]]
_INT_OUT: Final = POINTER(c_int)
_INT32_OUT: Final = POINTER(c_int32)
_LONG: Final[Mapping[str, _Signature]] = {
    "ps_init": (c_void_p, (c_void_p,)),
    "ps_free": (c_int, (c_void_p,)),
    "ps_process_raw": (c_int, (c_void_p, POINTER(c_int16), c_size_t, c_int, c_int)),
    "ps_end_utt": (c_int, (c_void_p,)),
    "ps_seg_iter": (c_void_p, (c_void_p,)),
}
"""Functions that work for milliseconds: name → (result, arguments). Called without the lock."""
_SHORT: Final[Mapping[str, _Signature]] = {
    "ps_config_init": (c_void_p, (c_void_p,)),
    "ps_config_free": (c_int, (c_void_p,)),
    "ps_config_set_float": (c_void_p, (c_void_p, c_char_p, c_double)),
    "ps_config_set_str": (c_void_p, (c_void_p, c_char_p, c_char_p)),
    "ps_reinit_feat": (c_int, (c_void_p, c_void_p)),
    "ps_set_align_text": (c_int, (c_void_p, c_char_p)),
    "ps_start_utt": (c_int, (c_void_p,)),
    "ps_add_word": (c_int, (c_void_p, c_char_p, c_char_p, c_int)),
    # An address, since the string is the caller's to free.
    "ps_lookup_word": (c_void_p, (c_void_p, c_char_p)),
    "ckd_free": (None, (c_void_p,)),
    "ps_get_logmath": (c_void_p, (c_void_p,)),
    "logmath_exp": (c_double, (c_void_p, c_int)),
    "ps_seg_next": (c_void_p, (c_void_p,)),
    "ps_seg_word": (c_char_p, (c_void_p,)),
    "ps_seg_frames": (None, (c_void_p, _INT_OUT, _INT_OUT)),
    "ps_seg_prob": (c_int32, (c_void_p, _INT32_OUT, _INT32_OUT, _INT32_OUT)),
    "ps_seg_free": (None, (c_void_p,)),
}
"""Functions that take microseconds; setting a text of 30 words takes 0.2 ms. They keep the
interpreter's lock: to get it back from a thread that computes takes up to 5 ms each time, and there
are some hundred calls for a sentence."""

_PARSING: Final = threading.Lock()
"""The library's parser of numbers keeps its memory in global variables. It is at work wherever a
configuration is made or read, but not in a search: decoders of their own may search at once."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A word, or a silence in angle brackets, where the decoder found it. Its word is private.

    start_frame, end_frame: of 10 ms, from 0, both within the word. ascore: acoustic likelihood.
    """

    word: str = field(repr=False)
    start_frame: int
    end_frame: int
    ascore: float


class Decoder(Protocol):
    """A decoder for known texts. One thread at a time; no state but its dictionary."""

    def add_word(self, word: str, phones: str) -> None:
        """Add to the dictionary a word that it lacks. phones: ARPAbet, blanks between them.

        Raises RuntimeError where it cannot be added.
        """

    def knows(self, word: str) -> bool:
        """Whether the dictionary has a word."""

    def align(self, pcm: Pcm, text: str) -> list[Segment] | None:
        """Return where each word was said, and the silences, or None where there is no way.

        pcm: (n,) at the sample rate of the options, n at least one frame's. text: words of the
        dictionary, blanks between them; the last ones are missing where only a part was found.
        """


def load_decoder(options: Mapping[str, float], *, library: Path | None = None) -> Decoder:
    """Load the package's English model into a decoder: 0.1 s, 30 MiB.

    options: pocketsphinx's parameters that are numbers. library: exports the C interface; the
    package's own where None. Raises ImportError or OSError where the package is missing, and
    RuntimeError, ValueError or KeyError where the model or an option is no good.
    """
    import pocketsphinx

    try:
        functions = _functions(library or _own_library())
    except (ImportError, OSError, AttributeError) as error:
        _log.info("threads stand still while words are aligned: no C interface (%s)", error)
        return BindingDecoder(options)
    model = pocketsphinx.get_model_path
    return LibraryDecoder(functions, model(_ACOUSTIC_MODEL), model(_DICTIONARY), options)


def _own_library() -> Path:
    """Return the package's extension module. Raises ImportError where it is of no use."""
    release = importlib.metadata.version("pocketsphinx")  # its error is an ImportError
    if release != _RELEASE:
        raise ImportError(f"release {release}, known is {_RELEASE}")
    found = importlib.util.find_spec(_MODULE)
    if found is None or found.origin is None:
        raise ImportError(f"no module {_MODULE}")
    return Path(found.origin)


def _functions(library: Path) -> SimpleNamespace:
    """Return the library's functions by their names, with their signatures.

    Raises OSError or AttributeError where one cannot be had.
    """
    functions = SimpleNamespace()
    # One image in memory, called in two ways: the first gives the interpreter's lock up.
    ways = (ctypes.CDLL(str(library)), _LONG), (ctypes.PyDLL(str(library)), _SHORT)
    for loaded, signatures in ways:
        for name, (result, arguments) in signatures.items():
            function = getattr(loaded, name)
            function.restype, function.argtypes = result, arguments
            setattr(functions, name, function)
    return functions


class LibraryDecoder:
    """Implements Decoder with the C interface. Searches hold no lock of the interpreter."""

    def __init__(
        self,
        functions: SimpleNamespace,
        acoustic_model: str,
        dictionary: str,
        options: Mapping[str, float],
    ) -> None:
        """Load. Raises RuntimeError where the model is no good, KeyError for unknown options."""
        self._call = functions
        with _PARSING:
            self._decoder = self._load(
                {"loglevel": _SILENT, "hmm": acoustic_model, "dict": dictionary}, options
            )
        # Not at the interpreter's end: a thread may still be at work then.
        weakref.finalize(self, functions.ps_free, self._decoder).atexit = False
        self._logmath = functions.ps_get_logmath(self._decoder)
        # Two threads at once, which the interpreter's lock kept apart, would break memory here.
        self._lock = threading.Lock()

    def _load(self, texts: Mapping[str, str], options: Mapping[str, float]) -> int:
        call = self._call
        config = call.ps_config_init(None)
        if not config:
            raise RuntimeError("no memory")
        try:
            for name, text in texts.items():
                if not call.ps_config_set_str(config, name.encode(), os.fsencode(text)):
                    raise KeyError(name)
            for name, number in options.items():
                if not call.ps_config_set_float(config, name.encode(), number):
                    raise KeyError(name)
            decoder: int | None = call.ps_init(config)
        finally:
            call.ps_config_free(config)  # the decoder keeps its own hold on it
        if not decoder:
            raise RuntimeError("no decoder")
        return decoder

    def add_word(self, word: str, phones: str) -> None:
        """Add a word. See Decoder."""
        with self._lock:
            if self._call.ps_add_word(self._decoder, word.encode(), phones.encode(), True) < 0:
                raise RuntimeError("a word cannot be added")

    def knows(self, word: str) -> bool:
        """Whether the dictionary has a word."""
        with self._lock:
            phones = self._call.ps_lookup_word(self._decoder, word.encode())
            self._call.ckd_free(phones)
        return phones is not None

    def align(self, pcm: Pcm, text: str) -> list[Segment] | None:
        """Return where each word was said. See Decoder."""
        samples = np.ascontiguousarray(pcm, np.int16)
        with self._lock:
            return (list(self._segments()) or None) if self._search(samples, text) else None

    def _search(self, samples: Pcm, text: str) -> bool:
        call, decoder = self._call, self._decoder
        with _PARSING:
            if call.ps_reinit_feat(decoder, None) < 0:  # forgets the means of the utterance before
                return False
        if call.ps_set_align_text(decoder, text.encode()) < 0 or call.ps_start_utt(decoder) < 0:
            return False
        data = samples.ctypes.data_as(POINTER(c_int16))
        try:
            done: int = call.ps_process_raw(decoder, data, len(samples), False, True)
        finally:  # whatever came of it: else no other could be started
            ended: int = call.ps_end_utt(decoder)
        return done >= 0 and ended >= 0

    def _segments(self) -> Iterator[Segment]:
        call = self._call
        start, end, ascore = c_int(), c_int(), c_int32()
        segment = call.ps_seg_iter(self._decoder)
        try:
            while segment:
                word = call.ps_seg_word(segment) or b""
                call.ps_seg_frames(segment, byref(start), byref(end))
                call.ps_seg_prob(segment, byref(ascore), None, None)
                likelihood = call.logmath_exp(self._logmath, ascore)
                yield Segment(word.decode(), start.value, end.value, likelihood)
                segment = call.ps_seg_next(segment)  # frees the last one itself
        finally:
            if segment:
                call.ps_seg_free(segment)


class BindingDecoder:
    """Implements Decoder with the package's own binding: the interpreter stands still meanwhile."""

    def __init__(self, options: Mapping[str, float]) -> None:
        """Load. Raises RuntimeError, ValueError or KeyError where that fails."""
        import pocketsphinx

        # The language model, which alignment does not use, is large.
        config = pocketsphinx.Config(lm=None, loglevel=_SILENT, **options)
        self._decoder: Any = pocketsphinx.Decoder(config)

    def add_word(self, word: str, phones: str) -> None:
        """Add a word. See Decoder."""
        self._decoder.add_word(word, phones, True)

    def knows(self, word: str) -> bool:
        """Whether the dictionary has a word."""
        return self._decoder.lookup_word(word) is not None

    def align(self, pcm: Pcm, text: str) -> list[Segment] | None:
        """Return where each word was said. See Decoder."""
        decoder = self._decoder
        try:
            decoder.reinit_feat()  # forgets the means of the utterance before
            decoder.set_align_text(text)
            decoder.start_utt()
            try:
                decoder.process_raw(pcm.tobytes(), no_search=False, full_utt=True)
            finally:
                decoder.end_utt()
            found = list(decoder.seg() or ())
        except RuntimeError:  # its message holds the text
            return None
        return [Segment(s.word, s.start_frame, s.end_frame, s.ascore) for s in found] or None
