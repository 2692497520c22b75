"""From frames and sound to one finished file under a name of its own, or to no file at all."""

from __future__ import annotations

import logging
import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .audio import Sound, frames_that_fit
from .colour import Converter
from .files import Claim, claim
from .frames import FrameSource, TensorFrames, to_pixels
from .info import read_info
from .replay import Spool, in_order, play_order
from .saved import SavedVideo, check_count, read_back, told
from .settings import Settings
from .writer import ContainerWriter, PictureWriter, Writer, finishing, picture_name, stamped

if TYPE_CHECKING:
    import av
    import torch

    from ..host.base import Surroundings

logger = logging.getLogger(__name__)

_MOST_CONVERTERS = 3
_WAITING_FRAMES = 2  # beside one per converter


def save_video(
    source: FrameSource,
    settings: Settings,
    host: Surroundings,
    *,
    folder: Path,
    prefix: str,
    sound: Sound | None = None,
    trim_to_sound: bool = False,
    tags: Mapping[str, str] | None = None,
) -> SavedVideo:
    """Encode a clip into one new file below `folder` and return what was written.

    The file is written as NAME.part, read back and counted, and only then gets its name. When anything fails or the user stops the
    run, the part is removed and the error goes on. Memory does not grow with the length of the clip. `trim_to_sound` shortens the
    clip to the nearest whole frame of the sound; sound that outlasts the picture is always cut at its end.

    Raises UserError for what the user can mend: a full disk, sizes that the format cannot hold, an encoder that refuses.
    """
    job = _Job(source, settings, host, sound, trim_to_sound, dict(tags or {}))
    is_folder = not settings.format.muxer
    extension = "" if is_folder else "." + settings.format.extension
    taken = claim(folder, prefix, extension, width=source.width, height=source.height, is_folder=is_folder)
    with taken, told(taken, settings, lambda: job.source_error):
        final = job.run(taken)
    return job.result(final, taken.subfolder)


class _Job:
    def __init__(
        self,
        source: FrameSource,
        settings: Settings,
        host: Surroundings,
        sound: Sound | None,
        trim_to_sound: bool,
        tags: dict[str, str],
    ) -> None:
        self.source, self.settings, self.host, self.tags = source, settings, host, tags
        self.notes: list[str] = []
        form = settings.format
        self.alpha = source.channels == 4 and (settings.bit_depth, True) in form.pixel_formats
        if source.channels == 4 and not self.alpha:
            self._note(f"{form.name} at {settings.bit_depth} bit holds no transparency; alpha was left out.")
        self.converter = Converter(form.pixel_formats[settings.bit_depth, self.alpha], source.height, source.width)
        width, height = self.converter.width, self.converter.height
        if (width, height) != (source.width, source.height):
            self._note(f"{form.name} needs even sides: {source.width}x{source.height} was extended to {width}x{height}.")
        if min(width, height) < form.shortest_side or max(width, height) > form.longest_side:
            raise UserError(
                f"{form.name} holds frames of {form.shortest_side} to {form.longest_side} pixels a side; these are {width}x{height}."
            )
        self.used = source.frame_count
        if trim_to_sound and sound is not None:
            self.used = frames_that_fit(sound, settings.frame_rate, source.frame_count)
        if sound is not None and form.audio is None:
            self._note(f"{form.name} holds no sound; the sound was left out.")
            sound = None
        self.times = max(1, settings.plays) if form.loop is None else 1
        self.order: list[int] = []
        self._set_order()
        self.sound = None if sound is None else sound.cut_to(len(self.order) / settings.frame_rate)
        self.broken: list[int] = []
        self.source_error: BaseException | None = None

    def _set_order(self) -> None:
        # In place: frames may already be on their way in the old order.
        self.order[:] = play_order(self.used, ping_pong=self.settings.ping_pong, times=self.times)

    def _note(self, sentence: str) -> None:
        logger.warning(sentence)
        self.notes.append(sentence)

    def run(self, taken: Claim) -> Path:
        """Encode, verify and publish; returns the final path."""
        size = (self.converter.width, self.converter.height)
        writer: Writer
        if self.settings.format.muxer:
            writer = ContainerWriter(
                taken.part,
                self.settings,
                self.converter.pixel_format,
                size,
                alpha=self.alpha,
                sound=self.sound,
                tags=self.tags,
            )
        else:
            writer = PictureWriter(taken.part, self.converter.pixel_format, size, taken.name, self.tags)
        progress = self.host.progress(len(self.order))
        workers = min(_MOST_CONVERTERS, max(1, (os.cpu_count() or 1) // 2))
        with finishing(writer.close, writer.abandon), ThreadPoolExecutor(max_workers=workers) as pool:
            for finished in writer.write(stamped(self._frames(pool), self.settings.frame_rate)):
                self.host.raise_if_interrupted()
                progress.update(finished)
        self._report_broken()
        self._verify(taken)
        return taken.publish()

    def _frames(self, pool: ThreadPoolExecutor) -> Iterator[av.VideoFrame]:
        """The frames to encode, converted ahead on other threads."""
        if isinstance(self.source, TensorFrames):
            shown = (self.source.frame(index) for index in self.order)
            yield from self._converted(pool, shown)
            return
        once = self._converted(pool, self._taken_from_source())
        if len(self.order) == self.used:
            yield from once
            return
        self.host.temp_folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self.host.temp_folder) as file:
            yield from in_order(once, self.order, Spool(file))

    def _chunks(self) -> Iterator[torch.Tensor]:
        """The source's chunks; its errors are noted, because they say nothing about the file that is being written."""
        try:
            yield from self.source.chunks()
        except Exception as error:
            self.source_error = error
            raise

    def _taken_from_source(self) -> Iterator[torch.Tensor]:
        delivered = 0
        for chunk in self._chunks():
            for frame in chunk:
                if delivered == self.used:
                    return
                delivered += 1
                yield frame
        # A file may hold fewer frames than it announces; then the source has corrected its count.
        if delivered != min(self.used, self.source.frame_count) or not delivered:
            raise UserError(f"The source of the frames ended after {delivered} of {self.used}; nothing was saved.")
        if delivered < self.used:
            self.used = delivered
            self._set_order()

    def _converted(self, pool: ThreadPoolExecutor, frames: Iterable[torch.Tensor]) -> Iterator[av.VideoFrame]:
        def convert(frame: torch.Tensor) -> tuple[av.VideoFrame, bool]:
            if frame.shape[:2] != (self.source.height, self.source.width) or frame.shape[2] != self.source.channels:
                raise UserError("The source of the frames changed their size on the way; nothing was saved.")
            return self.converter(to_pixels(frame))

        for index, (frame, broken) in enumerate(_ahead(pool, convert, frames)):
            if broken:
                self.broken.append(index)
            yield frame

    def _report_broken(self) -> None:
        if self.broken:
            some = ", ".join(str(index) for index in self.broken[:5]) + (" ..." if len(self.broken) > 5 else "")
            self._note(
                f"{len(self.broken)} frames hold values that are not numbers (NaN) and are black there: {some}. A VAE in fp16 often "
                f"makes them; use fp32 or bf16."
            )

    def _verify(self, taken: Claim) -> None:
        """Read the part back: the right number of frames, and all of it on the disk."""
        if not self.settings.format.muxer:
            written = sum(1 for _ in taken.part.iterdir())
            first = read_info(taken.part / picture_name(taken.name, 1))
            found = written if first.frame_count else 0
        else:
            info = read_back(taken)
            found = info.frame_count
            if self.sound is not None and info.audio is None:
                raise UserError(f"{taken.name} came out without its sound; nothing was saved. Try another format.")
        check_count(taken, found, len(self.order))

    def result(self, final: Path, subfolder: str) -> SavedVideo:
        if not self.settings.format.muxer:
            subfolder = "/".join(part for part in (subfolder, final.name) if part)
            final = final / picture_name(final.name, 1)
        return SavedVideo(
            path=final,
            subfolder=subfolder,
            frame_rate=self.settings.frame_rate,
            frame_count=len(self.order),
            width=self.converter.width,
            height=self.converter.height,
            mime=self.settings.format.mime,
            has_sound=self.sound is not None,
            has_alpha=self.alpha,
            notes=tuple(self.notes),
        )


def _ahead(
    pool: ThreadPoolExecutor, convert: Callable[[Any], tuple[av.VideoFrame, bool]], frames: Iterable[Any]
) -> Iterator[tuple[av.VideoFrame, bool]]:
    """`map`, with a bounded number of results waiting."""
    waiting: deque[Future[tuple[av.VideoFrame, bool]]] = deque()
    try:
        for frame in frames:
            waiting.append(pool.submit(convert, frame))
            if len(waiting) > _MOST_CONVERTERS + _WAITING_FRAMES:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
