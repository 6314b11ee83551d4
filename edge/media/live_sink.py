"""A live sink: encodes once, sends to several outputs, none of which can hold up the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from edge.errors import SinkError
from edge.media.address import Address
from edge.media.codecs import VideoSettings
from edge.media.encoders import PictureInfo, default_bitrate
from edge.media.live_encoder import LiveEncoder
from edge.media.live_output import LiveOutput, OutputStatus
from edge.media.live_packets import EncodedPacket, Interleaver
from edge.media.live_sound import Samples, SoundTrack
from edge.media.live_target import target_for
from edge.media.streams import AnyPicture

SOUND_LAG_S = 0.5
"""Sound may come this much later than its picture before silence takes its place."""
CLOSE_TIMEOUT_S = 3.0
"""Of the 5 s that the service has to end in."""
_LONGEST_WAIT_S = 5.0
"""Sound waits for the pictures' encoder, which looks ahead; never longer than this."""
_LEAST_BACKLOG_S = 5.0
_AHEAD_S = 0.1
"""Silence that is encoded before its picture: AAC's delay of 21 ms, and two of its frames."""


class LiveSink:
    """Pictures and sound of one stream, to any number of outputs.

    write_frame and write_sound encode and queue; they never wait for an output. Each output has
    a thread of its own that connects, sends, and starts again for ever where that fails: a server
    that comes back gets the stream from a keyframe on. An output that cannot keep up loses
    packets, up to a keyframe. Timestamps rise strictly, and count from the beginning of each
    connection or file. There is always sound: AAC, 48 kHz, stereo, silent where there is none.

    The methods may be called from several threads.
    """

    def __init__(
        self,
        outputs: Sequence[Address | Path],
        info: PictureInfo,
        video: VideoSettings | None = None,
        *,
        has_sound: bool = False,
        sound_lag_s: float = SOUND_LAG_S,
        overwrite: bool = False,
        ca_file: Path | None = None,
        on_gpu: bool = False,
        on_event: Callable[[str], None] | None = None,
    ) -> None:
        """Start the encoders and call all outputs, without waiting for them.

        has_sound: whether write_sound will be called; if not, silence never waits for it.
        sound_lag_s: how much later than its picture sound may come. overwrite: replace files that
        exist, instead of writing to the next free name. ca_file: trusted by rtmps:// instead of
        the system's certificates. on_gpu: whether pictures may live on the GPU. on_event: told when
        a hardware encoder failed and x264 took over, by the thread that writes. Raises SinkError
        for outputs and settings that cannot work; an output that does not answer is no error, but
        is called again and again.
        """
        if not outputs:
            raise SinkError("There is no output. Give at least one.")
        settings = video or VideoSettings()
        bitrate = settings.bitrate or default_bitrate(info.width, info.height, info.fps)
        targets = [
            target_for(output, bitrate=bitrate, overwrite=overwrite, ca_file=ca_file)
            for output in outputs
        ]
        places = [(target.url, target.path) for target in targets]
        for at, target in enumerate(targets):
            if places[at] in places[:at]:
                raise SinkError(f"{target} is given twice as an output. Leave one out.")
        self._encoder = LiveEncoder(
            info, settings, steady=any(t.is_network for t in targets), on_gpu=on_gpu,
            on_event=on_event,
        )  # fmt: skip
        self._lag_s = sound_lag_s if has_sound else 0.0
        self._ahead_s = 0.0
        """How far sound is filled up with silence beyond where it may lag behind its picture."""
        self._lock = threading.Lock()
        self._interleaver = Interleaver(_LONGEST_WAIT_S)
        self._start_s: float | None = None
        self._sound: SoundTrack | None = None
        self._closed = False
        self.frames = 0
        """Pictures written."""
        backlog_s = max(_LEAST_BACKLOG_S, 2.5 * settings.keyframe_interval_s)
        self._outputs = [LiveOutput(target, self._encoder, backlog_s) for target in targets]

    @property
    def info(self) -> PictureInfo:
        """What the pictures are like."""
        return self._encoder.info

    @property
    def encoder(self) -> str:
        """Name of the pictures' encoder that is at work now."""
        return self._encoder.encoder

    @property
    def bitrate(self) -> int | None:
        """Bits per second of the pictures; None where the quality is constant instead."""
        return self._encoder.settings.bitrate

    @property
    def status(self) -> tuple[OutputStatus, ...]:
        """How each output is doing, in the order in which they were given."""
        return tuple(output.status for output in self._outputs)

    @property
    def late_samples(self) -> int:
        """Samples of sound that came after silence had taken their place."""
        return self._sound.late if self._sound is not None else 0

    def write_frame(self, picture: AnyPicture, pts_s: float) -> None:
        """Encode one picture and queue it for every output; it must not be edited afterwards.

        pts_s: seconds on the output's timeline. Takes as long as encoding one frame. Raises
        ValueError for a picture of another size, SinkError where encoding fails.
        """
        with self._lock:
            self._check_open()
            start_s = self._begin(pts_s)
            assert self._sound is not None
            for packet in self._encoder.encode(picture, pts_s - start_s):
                self._put(packet)
            self.frames += 1
            self._encode_sound(self._sound.advance(pts_s + self._ahead_s))

    def write_sound(self, samples: Samples, pts_s: float) -> None:
        """Encode sound and queue it: float32 of shape (channels, n), 48 kHz, -1 to 1.

        pts_s: when the first sample is heard, on the output's timeline. Holes before it are
        filled with silence; what overlaps sound or silence already sent is cut. Raises
        ValueError for another shape.
        """
        with self._lock:
            self._check_open()
            self._begin(pts_s)
            assert self._sound is not None
            self._encode_sound(self._sound.write(samples, pts_s))

    def dump(self) -> None:
        """Forget all that no output has sent yet; go on with a keyframe, the next picture.

        What the encoder holds back to look ahead is forgotten, too, and from here on it holds
        nothing back. Until `resume`, no picture waits for its sound: all is silent from here on.
        Raises SinkError where the encoder cannot be begun anew.
        """
        with self._lock:
            self._check_open()
            if self._start_s is None:
                return
            self._encoder.renew()
            self._ahead_s = self._lag_s + _AHEAD_S
            self._interleaver.clear()
            for output in self._outputs:
                output.dump()

    def resume(self) -> None:
        """Take sound again, as it comes, after `dump`."""
        with self._lock:
            self._ahead_s = 0.0

    def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> bool:
        """Send what is queued and end every output; return whether all of them got all.

        Never takes much longer than timeout_s. An output that does not take its data is left to
        a daemon thread, which lets go of it when it can. Does nothing the second time.
        """
        deadline = time.monotonic() + timeout_s
        with self._lock:
            if not self._closed:
                self._closed = True
                if self._sound is not None:
                    self._encode_sound(self._sound.flush())
                    for packet in self._encoder.flush():
                        self._put(packet)
                self._encoder.close()
                for packet in self._interleaver.flush():
                    self._send(packet)
                for output in self._outputs:
                    output.end()
        sent = [output.join(deadline - time.monotonic()) for output in self._outputs]
        return all(sent)

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the sink is closed")

    def _begin(self, pts_s: float) -> float:
        if self._start_s is None:
            self._start_s = pts_s
            self._sound = SoundTrack(pts_s, self._lag_s)
        return self._start_s

    def _encode_sound(self, blocks: Iterable[tuple[int, Samples]]) -> None:
        for first, block in blocks:
            for packet in self._encoder.encode_sound(block, first):
                self._put(packet)

    def _put(self, packet: EncodedPacket) -> None:
        for ready in self._interleaver.push(packet):
            self._send(ready)

    def _send(self, packet: EncodedPacket) -> None:
        for output in self._outputs:
            output.put(packet)
