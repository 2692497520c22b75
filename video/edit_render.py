"""An edit list as a source of frames and as one sound; frames are decoded as they are asked for, and none is kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UserError
from .audio import Sound, sound_of
from .edits import Clip, Edit
from .frames import FileFrames, audio_of

if TYPE_CHECKING:
    import torch

_RATE = 48_000


class EditedFrames:
    """The frames of an edit list, one a chunk."""

    def __init__(self, edit: Edit) -> None:
        self._edit = edit
        self.frame_count, self.frame_rate = edit.frame_count, edit.frame_rate
        self.width, self.height = edit.width, edit.height
        self._sources = [_part(clip, clip.first) for clip in edit.clips]
        self.channels = max(source.channels for source in self._sources)

    def chunks(self) -> Iterator[torch.Tensor]:
        return self.between(0, self.frame_count)

    def between(self, first: int, end: int) -> Iterator[torch.Tensor]:
        """Frames `first` to `end` - 1 of the result, one a chunk; what lies before and after is not decoded."""
        clips = self._edit.clips
        before: Iterator[torch.Tensor] = iter(())
        for index, (clip, start) in enumerate(zip(clips, self._edit.starts(), strict=True)):
            stop = start + clip.length(self.frame_rate)
            if stop <= first or start >= end:
                continue
            frames = self._frames(index, max(0, first - start))
            fades_out = clips[index + 1].fade if index + 1 < len(clips) else 0
            for at in range(max(first, start), min(end, stop - fades_out)):
                # The first frame of a fade is not yet all of the one before, the last not all of the one after.
                weight = (at - start + 1) / (clip.fade + 1)
                yield next(frames) if weight >= 1 else next(before) * (1 - weight) + next(frames) * weight
            before = frames

    def _frames(self, index: int, begin: int) -> Iterator[torch.Tensor]:
        """The frames of one clip from its frame `begin` on, at the rate and in the size of the result."""
        clip, source = self._edit.clips[index], self._sources[index]
        at = clip.first - 1
        if begin:
            at = clip.source_frame(begin, self.frame_rate) - 1
            source = _part(clip, at + 1)
        decoded = (frame for chunk in source.chunks() for frame in chunk)
        frame = None
        for number in range(begin, clip.length(self.frame_rate)):
            wanted = clip.source_frame(number, self.frame_rate)
            while at < wanted:
                frame = next(decoded, None)
                at += 1
                if frame is None:
                    raise UserError(f"{clip.file.name} ends before frame {wanted}: it is damaged or was changed; nothing was saved.")
            assert frame is not None
            yield self._fitted(frame)[None]

    def _fitted(self, frame: torch.Tensor) -> torch.Tensor:
        """A frame [H, W, C] in the middle of one of the result's size, with black around it, and opaque where it has no alpha."""
        import torch

        if frame.shape[-1] < self.channels:
            frame = torch.cat([frame, torch.ones_like(frame[..., :1])], dim=-1)
        height, width = frame.shape[:2]
        if (height, width) == (self.height, self.width):
            return frame
        scale = min(self.height / height, self.width / width)
        inner = max(1, min(self.height, round(height * scale))), max(1, min(self.width, round(width * scale)))
        planes = torch.nn.functional.interpolate(frame.permute(2, 0, 1)[None], inner, mode="bilinear", antialias=True)[0]
        fitted = torch.zeros(self.height, self.width, self.channels)
        top, left = (self.height - inner[0]) // 2, (self.width - inner[1]) // 2
        fitted[top : top + inner[0], left : left + inner[1]] = planes.permute(1, 2, 0).clamp(0, 1)
        return fitted


def _part(clip: Clip, first: int) -> FileFrames:
    """The frames of a clip from frame `first` of its file on."""
    rate = clip.info.frame_rate
    source = FileFrames(str(clip.file), float(first / rate), float((clip.end - first) / rate))
    if source.frame_count != clip.end - first:
        raise UserError(
            f"{clip.file.name} has {source.frame_count} frames where {clip.end - first} are wanted: its frames are not evenly spaced. "
            f"Save it with VideoCombine first."
        )
    return source


def sound_of_edit(edit: Edit) -> Sound | None:
    """The sound of the whole timeline: its track, or the clips' own, faded as the pictures are; None where nothing is heard.

    A clip's sound follows its speed, and its pitch with it.
    """
    if edit.track is not None:
        audio = audio_of(str(edit.track.file), edit.track.start)
        if audio is None:
            raise UserError(f"{edit.track.file.name} holds no sound; choose another file for the timeline's sound.")
        return sound_of(audio)
    parts = [_sound_of_clip(clip) for clip in edit.clips]
    if not any(parts):
        return None
    rate = next((part.rate for part in parts if part is not None), _RATE)
    channels = max(part.samples.shape[0] for part in parts if part is not None)
    samples = np.zeros((channels, round(edit.frame_count / edit.frame_rate * rate)), np.float32)
    for index, (clip, part, start) in enumerate(zip(edit.clips, parts, edit.starts(), strict=True)):
        if part is None:
            continue
        first = round(start / edit.frame_rate * rate)
        count = min(round(clip.length(edit.frame_rate) / edit.frame_rate * rate), samples.shape[1] - first)
        piece = _resampled(part, count, float(clip.speed) * part.rate / rate)
        fade_out = edit.clips[index + 1].fade if index + 1 < len(edit.clips) else 0
        piece *= _envelope(count, *(round(frames / edit.frame_rate * rate) for frames in (clip.fade, fade_out)))
        heard_in = slice(None) if len(piece) == 1 else slice(len(piece))  # one channel is heard in all of them
        samples[heard_in, first : first + count] += piece
    return Sound(np.clip(samples, -1, 1), rate)


def _sound_of_clip(clip: Clip) -> Sound | None:
    if clip.info.audio is None:
        return None
    rate = clip.info.frame_rate
    audio = audio_of(str(clip.file), float(clip.first / rate), float(clip.end / rate))
    return None if audio is None else sound_of(audio)


def _resampled(sound: Sound, count: int, step: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """`count` samples, `step` of the sound's own apart; silence after its end."""
    have = sound.samples.shape[1]
    at = np.arange(count) * step
    return np.stack([np.interp(at, np.arange(have), channel, right=0.0) for channel in sound.samples]).astype(np.float32)


def _envelope(count: int, fade_in: int, fade_out: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    loudness = np.ones(count, np.float32)
    loudness[:fade_in] = np.linspace(0, 1, fade_in, endpoint=False, dtype=np.float32)[:count]
    if fade_out:
        loudness[-fade_out:] *= np.linspace(1, 0, fade_out, endpoint=False, dtype=np.float32)[-count:]
    return loudness
