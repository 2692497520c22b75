"""VideoTimeline: clips that were made before, cut and put together as the Video tab's timeline says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..host import current
from ..video.formats import FORMATS, QUALITIES, SPEEDS
from ..video.settings import settings_for
from .video import reported

FORMATS_OF_VIDEO = [name for name, form in FORMATS.items() if form.readable]


class VideoTimeline:
    """Renders an edit list into one video file."""

    CATEGORY = "Advanced Models/Video"
    DESCRIPTION = (
        "Puts clips together: order, trim, speed, cross-fades and one sound, as the timeline in the sidebar's Video tab says. The list is "
        "part of the workflow, so the result can be made again. Frames that the list leaves as they are can go into the file unchanged."
    )
    SEARCH_ALIASES = ["video edit", "edit list", "trim video", "concatenate videos", "join videos", "cross fade", "cut video"]
    RETURN_TYPES = ("VIDEO", "STRING")
    RETURN_NAMES = ("video", "path")
    OUTPUT_TOOLTIPS = (
        "The saved video, for any node that takes a VIDEO.",
        "The file relative to the output folder (to the temp folder for a preview), for nodes that load by name.",
    )
    FUNCTION = "render"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "edits": (
                    "STRING",
                    {
                        "default": '{"clips": []}',
                        "multiline": True,
                        "tooltip": "The edit list as JSON, written by the timeline in the Video tab. A clip names its file by filename, "
                        "subfolder and type (output, temp, input), its frames by in and out (the first that is no longer shown), "
                        "its speed, and fade, the frames it shares with the clip before.",
                    },
                ),
                "format": (
                    FORMATS_OF_VIDEO,
                    {"default": "mp4 (h264)", "tooltip": "As in VideoCombine. Clips of this very format need not be encoded again."},
                ),
                "quality": (list(QUALITIES), {"default": "high", "tooltip": "Of what is encoded; what is copied stays as it is."}),
                "speed": (
                    list(SPEEDS),
                    {
                        "default": "medium",
                        "tooltip": "How hard the encoder works, as in VideoCombine. Beside frames that are encoded, only clips that were "
                        "made with the same speed can be copied.",
                    },
                ),
                "filename_prefix": (
                    "STRING",
                    {"default": "video/timeline", "tooltip": "Name of the file, with subfolders and the tokens of VideoCombine."},
                ),
                "save_output": (
                    "BOOLEAN",
                    {"default": True, "tooltip": "On: into the output folder. Off: a preview in the temp folder, gone at the next start."},
                ),
            },
            "optional": {
                "copy_untouched": (
                    "BOOLEAN",
                    {
                        "default": True,
                        "advanced": True,
                        "tooltip": "Copy the frames that the list leaves as they are out of clips of the chosen format, and encode only "
                        "fades, changed clips, what lies between a cut and the next keyframe, and a few frames before a cut. "
                        "Off: encode all.",
                    },
                ),
            },
            "hidden": {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"},
        }

    @classmethod
    def IS_CHANGED(cls, edits: str, **_: Any) -> str:
        """The files' state: a clip that was written anew is another clip."""
        from ..video.edits import state_of_files

        return state_of_files(edits, current())

    def render(
        self,
        edits: str,
        format: str,
        quality: str,
        speed: str,
        filename_prefix: str,
        save_output: bool = True,
        copy_untouched: bool = True,
        prompt: Mapping[str, Any] | None = None,
        extra_pnginfo: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        from ..video.edit_save import save_edit
        from ..video.edits import parse_edit
        from ..video.metadata import tags

        host = current()
        edit = parse_edit(edits, host)
        saved = save_edit(
            edit,
            settings_for(format, edit.frame_rate, quality=quality, speed=speed),
            host,
            folder=host.output_folder if save_output else host.temp_folder,
            prefix=filename_prefix,
            tags=tags(prompt, extra_pnginfo) if host.embed_metadata else {},
            may_copy=copy_untouched,
        )
        ui, path = reported(saved, save_output)
        return {"ui": ui, "result": (host.video_from_file(saved.path), path)}
