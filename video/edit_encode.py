"""Frames of an edit list encoded into scratch files, which are then copied like any other."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from .colour import Converter
from .edit_render import EditedFrames
from .edit_sections import Section
from .frames import to_pixels
from .packets import CodedFile, Kind, coded_file
from .writer import ContainerWriter, finishing, stamped

if TYPE_CHECKING:
    import av
    import torch

    from .settings import Settings


class SectionEncoder:
    """Encodes sections with the node's settings, each from an IDR picture on, below a folder that the caller removes."""

    def __init__(self, frames: EditedFrames, settings: Settings, folder: Path) -> None:
        self._frames, self._settings, self._folder = frames, settings, folder
        pixel_format = settings.format.pixel_formats[settings.bit_depth, False]
        self._converter = Converter(pixel_format, frames.height, frames.width)

    def kind(self) -> Kind | None:
        """What all its sections are, told by a black frame. None where the encoder refuses that: `save_video` then says why."""
        import av
        import torch

        file = self._file("black")
        black = torch.zeros(1, self._frames.height, self._frames.width, 3)
        try:
            for _ in self._written(iter([black]), file):
                pass
        except av.error.FFmpegError:
            return None
        return self._coded(file).kind

    def encode(self, section: Section) -> Generator[int, None, None]:
        """Yields, after each step, how many of the section's frames are finished."""
        return self._written(self._frames.between(section.start, section.end), self._file(str(section.start)))

    def finished(self, section: Section) -> Section:
        """An encoded section, to be copied."""
        return Section(section.start, section.end, self._coded(self._file(str(section.start))))

    def _coded(self, file: Path) -> CodedFile:
        coded = coded_file(file)
        if coded is None:
            name = self._settings.format.name
            raise UserError(f"What the encoder for {name} made cannot be joined to clips; turn copy_untouched off and run again.")
        return coded

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.{self._settings.format.extension}"

    def _written(self, frames: Iterator[torch.Tensor], file: Path) -> Generator[int, None, None]:
        size = (self._converter.width, self._converter.height)
        writer = ContainerWriter(file, self._settings, self._converter.pixel_format, size, alpha=False, sound=None, tags={})
        with finishing(writer.close, writer.abandon):
            yield from writer.write(stamped(self._converted(frames), self._settings.frame_rate))

    def _converted(self, frames: Iterator[torch.Tensor]) -> Iterator[av.VideoFrame]:
        for chunk in frames:
            frame, _ = self._converter(to_pixels(chunk[0]))
            yield frame
