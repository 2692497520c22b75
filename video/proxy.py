"""Small copies of clips that browsers cannot play, or cannot show frame by frame."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..host.base import Progress
from .encode import save_video
from .frames import FileFrames, FrameSource
from .info import read_info
from .pictures import WebPFrames
from .settings import settings_for
from .stored import describe, stored_file

if TYPE_CHECKING:
    import torch

    from ..host.base import Host

LONGEST_SIDE = 1280
"""Pixels of a proxy; a node on the page is seldom wider."""
KEYFRAME_INTERVAL = 12
"""Frames; a step back then decodes at most this many."""

_made: dict[tuple[Path, int, int], Path] = {}
_one_at_a_time = threading.Lock()


class _Beside:
    """What the encoder asks of the host, for work beside the running node: it shows no progress there and is not stopped with it."""

    def __init__(self, temp_folder: Path) -> None:
        self.temp_folder = temp_folder

    def progress(self, total: int) -> Progress:
        return _Silent()

    def raise_if_interrupted(self) -> None:
        """Nobody can stop it."""


class _Silent:
    def update(self, done: int, latents: Callable[[], torch.Tensor] | None = None) -> None:
        """Nobody watches."""


class Smaller:
    """The frames of a source, shrunk so that no side is longer than `longest` pixels."""

    def __init__(self, source: FrameSource, longest: int) -> None:
        self._source = source
        scale = min(1.0, longest / max(source.width, source.height))
        self.frame_count, self.channels = source.frame_count, source.channels
        self.width, self.height = (max(2, round(side * scale / 2) * 2) for side in (source.width, source.height))

    def chunks(self) -> Iterator[torch.Tensor]:
        import torch.nn.functional

        for chunk in self._source.chunks():
            planes = chunk.permute(0, 3, 1, 2)
            if planes.shape[2:] != (self.height, self.width):
                planes = torch.nn.functional.interpolate(planes, (self.height, self.width), mode="area")
            yield planes.permute(0, 2, 3, 1)
        self.frame_count = self._source.frame_count


def proxy_of(name: Mapping[str, Any], host: Host) -> dict[str, Any]:
    """A copy in the temp folder, frame for frame, of a file that `stored_file` finds: h264 in mp4, or vp9 in webm where the file has
    transparency. It is made once per file and change of it.

    Raises UserError for what cannot be read as a video.
    """
    file = stored_file(name, host)
    state = file.stat()
    key = (file, state.st_mtime_ns, state.st_size)
    with _one_at_a_time:
        made = _made.get(key)
        if made is None or not made.is_file():
            made = _made[key] = _make(file, host.temp_folder)
    return describe(made, made.parent.relative_to(host.temp_folder.resolve()).as_posix(), "temp", read_info(made))


def _make(file: Path, temp_folder: Path) -> Path:
    from .audio import sound_of

    source = WebPFrames(file) if read_info(file).container == "webp" else FileFrames(str(file))
    sound = source.audio()
    settings = settings_for(
        "webm (vp9)" if source.channels == 4 else "mp4 (h264)",
        source.frame_rate,
        speed="ultrafast",
        keyframe_interval=KEYFRAME_INTERVAL,
    )
    return save_video(
        Smaller(source, LONGEST_SIDE),
        settings,
        _Beside(temp_folder),
        folder=temp_folder,
        prefix="advanced_models/proxy",
        sound=None if sound is None else sound_of(sound),
    ).path
