"""VideoCombine: frames and sound to one video file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..host import current
from ..video.formats import FORMATS, QUALITIES, SPEEDS
from ..video.settings import BIT_DEPTHS, ENCODERS, FASTEST_RATE, LONGEST_KEYFRAME_INTERVAL, MOST_PLAYS, SLOWEST_RATE, settings_for

if TYPE_CHECKING:
    from ..video.saved import SavedVideo

IMAGE_OUTPUT = 1


class VideoCombine:
    """Saves frames, with sound where there is any, as one video or animated image."""

    CATEGORY = "Advanced Models/Video"
    DESCRIPTION = (
        "Saves frames and sound as one file: mp4, webm, mov, mkv, gif, webp, apng or a PNG sequence. The file appears under its name "
        "only "
        "when it is whole; nothing is ever overwritten. Dropped on the page, it brings its workflow back."
    )
    SEARCH_ALIASES = ["save video", "video combine", "create video", "gif", "mp4", "export video", "save webm", "save animated webp"]
    RETURN_TYPES = ("VIDEO", "IMAGE", "STRING")
    RETURN_NAMES = ("video", "images", "path")
    OUTPUT_TOOLTIPS = (
        "The saved video, for any node that takes a VIDEO.",
        "The frames as they came in.",
        "The file relative to the output folder (to the temp folder for a preview), for nodes that load by name.",
    )
    FUNCTION = "save"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "frame_rate": (
                    "FLOAT",
                    {
                        "default": 16.0,
                        "min": SLOWEST_RATE,
                        "max": FASTEST_RATE,
                        "step": 0.001,
                        "tooltip": "Frames per second: 16 for Wan 2.1 and 2.2 14B, 24 for Wan 2.2 5B. 23.976, 29.97 and 59.94 become "
                        "the exact "
                        "broadcast rates. A connected video keeps its own rate.",
                    },
                ),
                "format": (
                    list(FORMATS),
                    {
                        "default": "mp4 (h264)",
                        "tooltip": "h264 plays everywhere. h265 and av1 are smaller; not every browser shows h265. For transparency: "
                        "webm (vp9), "
                        "ProRes 4444, ffv1, gif, webp, apng or PNG. For editing: ProRes. Without any loss: ffv1.",
                    },
                ),
                "quality": (
                    list(QUALITIES),
                    {
                        "default": "high",
                        "tooltip": "Higher looks better and makes a larger file. high is hard to tell from the source (h264 at CRF "
                        "19). ffv1, "
                        "apng, PNG and lossless webp lose nothing at any setting.",
                    },
                ),
                "speed": (
                    list(SPEEDS),
                    {
                        "default": "medium",
                        "tooltip": "How hard the encoder works. ultrafast takes a quarter of the time of medium and makes files "
                        "several times "
                        "larger; slow saves a few percent.",
                    },
                ),
                "filename_prefix": (
                    "STRING",
                    {
                        "default": "video/AdvancedModels",
                        "tooltip": "Name of the file, with subfolders. Tokens: %date% or %date:yyyy-MM-dd%, %time%, %year%, %month%, "
                        "%day%, %hour%, "
                        "%minute%, %second%, %width%, %height%, and %counter% to place the number.",
                    },
                ),
                "save_output": (
                    "BOOLEAN",
                    {"default": True, "tooltip": "On: into the output folder. Off: a preview in the temp folder, gone at the next start."},
                ),
            },
            "optional": {
                "images": ("IMAGE", {"tooltip": "The frames, in order. A fourth channel is transparency, where the format holds it."}),
                "video": ("VIDEO", {"tooltip": "A video instead of images; it is read piece by piece and brings its rate and sound."}),
                "audio": ("AUDIO", {"tooltip": "Sound, mono to 5.1; what outlasts the picture is cut. It replaces a video's own."}),
                "trim_to_audio": (
                    "BOOLEAN",
                    {"default": False, "tooltip": "End the picture with the sound, to the nearest frame, when the sound is shorter."},
                ),
                "ping_pong": ("BOOLEAN", {"default": False, "tooltip": "Play forwards and then backwards, for a clip that loops evenly."}),
                "loop_count": (
                    "INT",
                    {
                        "default": 0,
                        "min": 0,
                        "max": MOST_PLAYS,
                        "tooltip": "How often it plays. 0: gif, webp and apng loop for ever, video files hold the clip once. For a "
                        "video file, 3 "
                        "writes the clip three times.",
                    },
                ),
                "bit_depth": (
                    list(BIT_DEPTHS),
                    {
                        "default": "auto",
                        "advanced": True,
                        "tooltip": "10 avoids banding in skies and dark gradients; it is computed from the full precision of the "
                        "frames. Browsers "
                        "and older devices may not play 10 bit h264. auto is what the format commonly has.",
                    },
                ),
                "encoder": (
                    list(ENCODERS),
                    {
                        "default": ENCODERS[0],
                        "advanced": True,
                        "tooltip": "Hardware encoders are faster and less efficient. One is used only after it has really encoded "
                        "something here; "
                        "otherwise the software encoder runs and the log says so.",
                    },
                ),
                "keyframe_interval": (
                    "INT",
                    {
                        "default": 0,
                        "min": 0,
                        "max": LONGEST_KEYFRAME_INTERVAL,
                        "advanced": True,
                        "tooltip": "Frames from one keyframe to the next. Small values (12) make stepping and scrubbing fast, let Video "
                        "Timeline copy more of a clip that is cut at its start, and make the file larger. 0 leaves it to the encoder. "
                        "h264, h265, av1 and vp9 only.",
                    },
                ),
            },
            "hidden": {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO", "unique_id": "UNIQUE_ID"},
        }

    def save(
        self,
        frame_rate: float,
        format: str,
        quality: str,
        speed: str,
        filename_prefix: str,
        save_output: bool = True,
        images: Any = None,
        video: Any = None,
        audio: Any = None,
        trim_to_audio: bool = False,
        ping_pong: bool = False,
        loop_count: int = 0,
        bit_depth: str = "auto",
        encoder: str = "software",
        keyframe_interval: int = 0,
        prompt: Mapping[str, Any] | None = None,
        extra_pnginfo: Mapping[str, Any] | None = None,
        unique_id: Any = None,
    ) -> dict[str, Any]:
        from ..video.audio import sound_of
        from ..video.encode import save_video
        from ..video.frames import frames_of
        from ..video.metadata import tags
        from ..video.value import VideoComponents, VideoParts, all_frames, parts_of

        if (images is None) == (video is None):
            raise UserError("VideoCombine needs either images or a video; connect exactly one of the two.")
        host = current()
        parts = VideoParts(frames_of(images), None, None) if video is None else parts_of(video)
        settings = settings_for(
            format,
            frame_rate if parts.frame_rate is None else parts.frame_rate,
            quality=quality,
            speed=speed,
            bit_depth=bit_depth,
            plays=loop_count,
            ping_pong=ping_pong,
            keyframe_interval=keyframe_interval,
            encoder=encoder,
        )
        heard: Any = audio if audio is not None else parts.audio
        folder = host.output_folder if save_output else host.temp_folder
        saved = save_video(
            parts.source,
            settings,
            host,
            folder=folder,
            prefix=filename_prefix,
            sound=None if heard is None else sound_of(heard),
            trim_to_sound=trim_to_audio,
            tags=tags(prompt, extra_pnginfo) if host.embed_metadata else {},
        )
        if images is None and _is_linked(prompt, unique_id, IMAGE_OUTPUT):
            images = all_frames(parts_of(video).source)
        if settings.format.readable:
            result = host.video_from_file(saved.path)
        else:
            result = video if video is not None else host.video_from_components(VideoComponents(images, settings.frame_rate, heard))
        ui, path = reported(saved, save_output)
        return {"ui": ui, "result": (result, images, path)}


def reported(saved: SavedVideo, save_output: bool) -> tuple[dict[str, Any], str]:
    """What a node that saved a video tells the page and API clients, and the file's path below its folder."""
    shown = shown_on_page(saved, "output" if save_output else "temp")
    ui: dict[str, Any] = {"video": [shown]}
    if saved.path.is_file():
        # What native save nodes say too: the page's own preview, its list of results and API clients read these two.
        ui |= {"images": [{key: shown[key] for key in ("filename", "subfolder", "type")}], "animated": [True]}
    return ui, "/".join(part for part in (saved.subfolder, saved.path.name) if part)


def shown_on_page(saved: SavedVideo, kind: str) -> dict[str, Any]:
    """What the page needs to show the file."""
    from ..video.stored import playable

    shown = playable(saved.path.name, saved.subfolder, kind, saved, mime=saved.mime, has_audio=saved.has_sound)
    return shown | {"has_alpha": saved.has_alpha, "notes": list(saved.notes)}


def _is_linked(prompt: Mapping[str, Any] | None, node_id: Any, output: int) -> bool:
    """Whether some node of the running graph takes this output. True where the graph does not say."""
    if not isinstance(prompt, Mapping) or str(node_id) not in prompt:
        return True
    return any(
        value == [str(node_id), output]
        for node in prompt.values()
        for value in (node.get("inputs") or {}).values()
        if isinstance(value, list)
    )
