"""From an edit list to one finished file: copied where the list changes nothing within its clips, else encoded."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .audio import Sound, SoundTrack
from .edit_copy import add_stream, can_be_copied, copied
from .edit_render import EditedFrames, sound_of_edit
from .edits import Edit
from .encode import save_video
from .files import Claim, claim
from .saved import SavedVideo, check_count, read_back, told

if TYPE_CHECKING:
    from ..host.base import Surroundings
    from .settings import Settings

_COPIED = "The clips were put together as they are, without encoding them again."


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

    With `may_copy`, clips that are already coded as `settings` ask and that the list leaves as they are go into the file unchanged.
    """
    source, sound = EditedFrames(edit), sound_of_edit(edit)
    if not may_copy or source.channels == 4 or not can_be_copied(edit, settings):
        return save_video(source, settings, host, folder=folder, prefix=prefix, sound=sound, tags=tags)
    if sound is not None:
        sound = sound.cut_to(edit.frame_count / edit.frame_rate)
    taken = claim(folder, prefix, "." + settings.format.extension, width=edit.width, height=edit.height)
    with taken, told(taken, settings):
        _write(edit, settings, host, taken, sound, tags)
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
        notes=(_COPIED,),
    )


def _write(edit: Edit, settings: Settings, host: Surroundings, taken: Claim, sound: Sound | None, tags: Mapping[str, str]) -> None:
    import av

    form = settings.format
    container: Any = av.open(str(taken.part), "w", format=form.muxer, options=dict(form.muxer_options))
    try:
        container.metadata.update(tags)
        stream = add_stream(edit, container)
        track = SoundTrack(container, form.audio, sound) if sound is not None and form.audio is not None else None
        progress = host.progress(edit.frame_count)
        for number, packet in enumerate(copied(edit, stream), 1):
            host.raise_if_interrupted()
            container.mux(packet)
            for piece in track.until(number / edit.frame_rate) if track is not None else ():
                container.mux(piece)
            progress.update(number)
        for piece in track.rest() if track is not None else ():
            container.mux(piece)
        container.close()
    except BaseException:  # whatever it is, the file must be let go of before it is removed
        with contextlib.suppress(av.error.FFmpegError, OSError, ValueError):
            container.close()
        raise
