"""From an edit list to one finished file: copied where the list changes nothing within its clips, encoded where it does."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Generator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .audio import Sound, SoundTrack
from .edit_copy import add_stream, copied, options
from .edit_encode import SectionEncoder
from .edit_render import EditedFrames, sound_of_edit
from .edit_sections import Section, coded_as_asked, sections_of
from .edits import Edit
from .encode import save_video
from .files import Claim, claim
from .packets import CodedFile, Kind
from .saved import SavedVideo, check_count, read_back, told
from .writer import finishing, let_go

if TYPE_CHECKING:
    from ..host.base import Surroundings
    from .settings import Settings

_COPIED = "The clips were put together as they are, without encoding them again."
_MIXED = "{} of {} frames were copied as they are; {} were encoded."
_UNLIKE = (
    "All frames were encoded: the clips were made with other settings of the encoder, such as another speed, and one file cannot hold both."
)


def save_edit(
    edit: Edit,
    settings: Settings,
    host: Surroundings,
    *,
    folder: Path,
    prefix: str,
    tags: Mapping[str, str],
    may_copy: bool = True,
) -> SavedVideo:
    """Write the result of an edit list into one new file below `folder`, with the promises of `save_video`.

    With `may_copy`, what is already coded as `settings` ask and what the list leaves as it is goes into the file unchanged. The rest is
    encoded in scratch files of the temp folder first, because a file's delay between decoding and showing stands at its beginning.
    """
    frames, sound = EditedFrames(edit), sound_of_edit(edit)
    files = coded_as_asked(edit, settings) if may_copy and frames.channels == 3 else {}
    notes: tuple[str, ...] = ()
    if any(section.source for section in sections_of(edit, files)):
        host.temp_folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=host.temp_folder, ignore_cleanup_errors=True) as scratch:
            encoder = SectionEncoder(frames, settings, Path(scratch))
            sections = _cut(edit, files, encoder)
            if any(section.source for section in sections):
                return _save(edit, settings, host, sections, encoder, sound, folder=folder, prefix=prefix, tags=tags)
        notes = (_UNLIKE,)
    saved = save_video(frames, settings, host, folder=folder, prefix=prefix, sound=sound, tags=tags)
    return dataclasses.replace(saved, notes=saved.notes + notes)


def _cut(edit: Edit, files: Mapping[Path, CodedFile], encoder: SectionEncoder) -> list[Section]:
    """The sections of which one file can be made: all copied where the clips are of one kind, else of the kind that is encoded here."""

    def of(kind: Kind) -> list[Section]:
        return sections_of(edit, {path: file for path, file in files.items() if file.kind == kind})

    kinds = {file.kind for file in files.values()}
    whole = of(kinds.pop()) if len(kinds) == 1 else []
    if whole and all(section.source for section in whole):
        return whole
    kind = encoder.kind()
    return of(kind) if kind is not None else []


def _save(
    edit: Edit,
    settings: Settings,
    host: Surroundings,
    sections: Sequence[Section],
    encoder: SectionEncoder,
    sound: Sound | None,
    *,
    folder: Path,
    prefix: str,
    tags: Mapping[str, str],
) -> SavedVideo:
    if sound is not None:
        sound = sound.cut_to(edit.frame_count / edit.frame_rate)
    encoded = sum(section.end - section.start for section in sections if section.source is None)
    progress = host.progress(encoded + edit.frame_count)
    taken = claim(folder, prefix, "." + settings.format.extension, width=edit.width, height=edit.height)
    with taken, told(taken, settings):
        done, sources = 0, []
        for section in sections:
            if section.source is None:
                with contextlib.closing(encoder.encode(section)) as steps:
                    for finished in steps:
                        host.raise_if_interrupted()
                        progress.update(done + finished)
                done += section.end - section.start
                section = encoder.finished(section)
            sources.append(section)
        with contextlib.closing(_written(edit, settings, taken, sources, sound, tags)) as steps:
            for number in steps:
                host.raise_if_interrupted()
                progress.update(encoded + number)
        check_count(taken, read_back(taken).frame_count, edit.frame_count)
        final = taken.publish()
    return SavedVideo(
        path=final,
        subfolder=taken.subfolder,
        frame_rate=edit.frame_rate,
        frame_count=edit.frame_count,
        width=edit.width,
        height=edit.height,
        mime=settings.format.mime,
        has_sound=sound is not None,
        has_alpha=False,
        notes=(_MIXED.format(edit.frame_count - encoded, edit.frame_count, encoded) if encoded else _COPIED,),
    )


def _written(
    edit: Edit, settings: Settings, taken: Claim, sections: Sequence[Section], sound: Sound | None, tags: Mapping[str, str]
) -> Generator[int, None, None]:
    """Puts sections that all have a source into the part; yields how many frames are in it."""
    import av

    form, rate = settings.format, edit.frame_rate
    container: Any = av.open(str(taken.part), "w", format=form.muxer, options={**form.muxer_options, **options(form.muxer, rate)})
    with finishing(container.close, partial(let_go, container)):
        container.metadata.update(tags)
        stream = add_stream(container, sections[0], rate)
        track = SoundTrack(container, form.audio, sound) if sound is not None and form.audio is not None else None
        for number, packet in enumerate(copied(sections, stream, rate), 1):
            container.mux(packet)
            for piece in track.until(number / rate) if track is not None else ():
                container.mux(piece)
            yield number
        for piece in track.rest() if track is not None else ():
            container.mux(piece)
