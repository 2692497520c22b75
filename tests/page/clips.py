"""Clips whose frames carry their number as a row of blocks, white for 1, and a reader for the page's picture of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from advanced_models.host.standalone import StandaloneHost
from advanced_models.video.encode import save_video
from advanced_models.video.frames import frames_of
from advanced_models.video.saved import SavedVideo
from advanced_models.video.settings import settings_for

BITS = 8
BLOCK = 24  # pixels a side; far more than an encoder blurs
WIDTH, HEIGHT = BITS * BLOCK, 4 * BLOCK


def numbered(numbers: range, *, pans: bool = False) -> torch.Tensor:
    """[frames, HEIGHT, WIDTH, 3]: bit k of the number stands in block k, the rest of the frame is noise, another in each frame.

    With `pans` it is the same noise, moved on: then encoders use frames that depend on later ones.
    """
    frames = torch.rand(len(numbers), HEIGHT, WIDTH, 3, generator=torch.Generator().manual_seed(numbers.start)) * 0.4 + 0.3
    if pans:
        coarse = frames[0, :, ::8].repeat_interleave(8, dim=1)
        frames = torch.stack([coarse.roll(number, dims=1) for number in range(len(numbers))])
    for frame, number in zip(frames, numbers, strict=True):
        for bit in range(BITS):
            frame[: 2 * BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = float(number >> bit & 1)
    return frames


def save(host: StandaloneHost, numbers: range, format_name: str = "mp4 (h264)", rate: object = 24, **options: Any) -> SavedVideo:
    """A numbered clip in the output folder; `keyframe_interval` and so on go to `settings_for`, `prefix` and `sound` to the encoder."""
    images = numbered(numbers, pans=options.pop("pans", False))
    own = {
        "prefix": options.pop("prefix", "clip"),
        "sound": options.pop("sound", None),
        "folder": options.pop("folder", host.output_folder),
    }
    settings = settings_for(format_name, rate, **{"speed": "ultrafast", **options})
    return save_video(frames_of(images), settings, host, **own)


def shown_by_node(saved: SavedVideo, kind: str = "output") -> dict[str, Any]:
    """What VideoCombine returns for the page."""
    from advanced_models.nodes.video import shown_on_page

    item = shown_on_page(saved, kind)
    return {"video": [item], "images": [{key: item[key] for key in ("filename", "subfolder", "type")}], "animated": [True]}


def serve(host: StandaloneHost, folder: Path) -> None:
    """Let the host's folders be what the stand-in server's `/view` serves."""
    host.output_folder = host.temp_folder = host.input_folder = folder


READ = """(player) => {
    const video = player.querySelector("video");
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    const drawing = canvas.getContext("2d");
    drawing.drawImage(video, 0, 0);
    let number = 0;
    for (let bit = 0; bit < BITS; bit++) {
        const pixel = drawing.getImageData((bit + 0.5) * canvas.width / BITS, canvas.height / 4, 1, 1).data;
        if (pixel[1] > 127) number |= 1 << bit;
    }
    return number;
}""".replace("BITS", str(BITS))
"""The number that the picture of a player's video carries."""
