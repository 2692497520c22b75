"""Sound for a video file: checked, cut to the picture, encoded step by step beside it."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UserError

if TYPE_CHECKING:
    from av.audio.codeccontext import AudioCodecContext
    from av.container import OutputContainer
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

# Channel count -> FFmpeg's layout. Vorbis order, which Opus follows, has quad where AAC has a centre and a back channel.
_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1"}
_OPUS_LAYOUTS = {**_LAYOUTS, 4: "quad"}
_HIGHEST_RATE = 384_000
_COMMON_RATE = 48_000
_BIT_RATE_PER_CHANNEL = 96_000
_LOSSY = ("aac", "libopus")


@dataclass(frozen=True)
class Sound:
    """Samples [channels, n] as float32 -1..1 at `rate` per second."""

    samples: NDArray[np.float32]
    rate: int

    @property
    def seconds(self) -> Fraction:
        return Fraction(self.samples.shape[1], self.rate)

    def cut_to(self, seconds: Fraction) -> Sound:
        """At most `seconds` of it, to the nearest sample."""
        return Sound(self.samples[:, : round(seconds * self.rate)], self.rate)


def sound_of(audio: object) -> Sound | None:
    """The sound of an AUDIO value {"waveform": [batch, channels, samples], "sample_rate": Hz}, or None where it holds no sample.

    Only the first of a batch is used, with a warning. Raises UserError for more than six channels and for what is not AUDIO.
    """
    import torch

    if not isinstance(audio, Mapping) or not isinstance(audio.get("waveform"), torch.Tensor):
        raise UserError("The AUDIO input holds no waveform; connect the output of a node that loads or makes sound.")
    waveform = audio["waveform"]
    rate = audio.get("sample_rate")
    if not isinstance(rate, int | float) or not math.isfinite(rate) or not 1 <= rate <= _HIGHEST_RATE:
        raise UserError(f"The sample rate of the AUDIO input must lie between 1 and {_HIGHEST_RATE} Hz; it is {rate}.")
    if waveform.ndim == 3:
        if waveform.shape[0] > 1:
            logger.warning("The AUDIO input holds %d sounds; the first is used.", waveform.shape[0])
        if not waveform.shape[0]:
            return None
        waveform = waveform[0]
    elif waveform.ndim == 1:
        waveform = waveform[None]
    if waveform.ndim != 2:
        raise UserError("The waveform of the AUDIO input must be [batch, channels, samples].")
    if waveform.shape[1] == 0:
        return None
    if waveform.shape[0] not in _LAYOUTS:
        raise UserError(f"Sound of {waveform.shape[0]} channels cannot be saved; mono to 5.1 (1 to 6 channels) can.")
    samples = np.ascontiguousarray(waveform.detach().to(device="cpu", dtype=torch.float32).numpy())
    if not np.isfinite(samples).all():
        logger.warning("The AUDIO input holds values that are not numbers; they are silent in the file.")
        samples = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
    return Sound(samples, int(rate))


def frames_that_fit(sound: Sound, frame_rate: Fraction, frame_count: int) -> int:
    """How many frames last as long as the sound, to the nearest frame, at least one and at most `frame_count`."""
    return max(1, min(frame_count, math.floor(sound.seconds * frame_rate + Fraction(1, 2))))


class SoundTrack:
    """Encodes a sound into a container, a little at a time, so that picture and sound lie beside each other in the file."""

    def __init__(self, container: OutputContainer, encoder: str, sound: Sound) -> None:
        from av.codec import Codec

        rates = Codec(encoder, "w").audio_rates
        rate = sound.rate if not rates or sound.rate in rates else _nearest_rate(rates, sound.rate)
        self._sound = sound
        channels = sound.samples.shape[0]
        self._layout = (_OPUS_LAYOUTS if encoder == "libopus" else _LAYOUTS)[channels]
        stream: Any = container.add_stream(encoder, rate=rate, layout=self._layout)
        if encoder in _LOSSY:
            stream.bit_rate = _BIT_RATE_PER_CHANNEL * channels
        elif encoder == "flac":
            stream.format = "s32"  # FLAC keeps 24 bits of it
        self._stream = stream
        self._done = 0

    def until(self, seconds: Fraction) -> Iterator[Any]:
        """Packets of the sound up to this time."""
        import av

        end = min(self._sound.samples.shape[1], math.ceil(seconds * self._sound.rate))
        if end <= self._done:
            return
        piece = np.ascontiguousarray(self._sound.samples[:, self._done : end])
        frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout=self._layout)
        frame.sample_rate = self._sound.rate
        frame.pts = self._done
        frame.time_base = Fraction(1, self._sound.rate)
        self._done = end
        yield from self._encode(frame)

    def rest(self) -> Iterator[Any]:
        """What the encoder still holds."""
        yield from self.until(self._sound.seconds)
        yield from self._encode(None)

    def _encode(self, frame: Any) -> Iterator[Any]:
        context: AudioCodecContext = self._stream.codec_context
        for packet in context.encode(frame):
            packet.stream = self._stream
            yield packet


def _nearest_rate(rates: list[int], rate: int) -> int:
    """The slowest rate that loses nothing, or the fastest one there is, but never an odd one above 48 kHz for a lower source."""
    enough = [candidate for candidate in rates if candidate >= rate]
    if not enough:
        return max(rates)
    return min(enough) if rate > _COMMON_RATE or _COMMON_RATE not in rates else _COMMON_RATE
