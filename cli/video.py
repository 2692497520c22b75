"""`advanced-models video info FILE`: what a video file holds, read back from the file itself."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..video.info import VideoInfo


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    info = actions.add_parser("info", help="print size, rate, frames, colour, sound and whether a workflow is inside")
    info.add_argument("file", type=Path, metavar="FILE")
    info.add_argument("--json", action="store_true", help="as one JSON object, with the prompt and the workflow")


def run(args: argparse.Namespace) -> int:
    from ..video.info import read_info

    info = read_info(args.file)
    print(json.dumps(_as_json(info), indent=2) if args.json else _as_text(info))
    return 0


def _as_json(info: VideoInfo) -> dict[str, Any]:
    facts = asdict(info)
    facts["frame_rate"] = f"{info.frame_rate.numerator}/{info.frame_rate.denominator}"
    facts["seconds"] = float(info.seconds)
    if info.audio is not None:
        facts["audio"]["seconds"] = float(info.audio.seconds)
    return facts


def _as_text(info: VideoInfo) -> str:
    rate = info.frame_rate
    fraction = "" if rate.denominator == 1 else f" ({rate.numerator}/{rate.denominator})"
    inside = [key for key in ("prompt", "workflow") if key in info.tags]
    sound = "none"
    if info.audio is not None:
        audio = info.audio
        channels = "1 channel" if audio.channels == 1 else f"{audio.channels} channels"
        sound = f"{audio.codec}, {audio.sample_rate} Hz, {channels}, {float(audio.seconds):.3f} s"
    return "\n".join(
        (
            f"picture   {info.codec} in {info.container}, {info.width}x{info.height}, {info.pixel_format}",
            f"frames    {info.frame_count} at {float(rate):.6g} per second{fraction}, {float(info.seconds):.3f} s",
            f"colour    matrix {info.matrix}, primaries {info.primaries}, transfer {info.transfer}, range {info.range}",
            f"sound     {sound}",
            f"metadata  {' and '.join(inside) if inside else 'no prompt, no workflow'}",
        )
    )
