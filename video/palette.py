"""GIF frames: each run of frames gets the best palette for it, in one pass and bounded memory.

FFmpeg's palettegen reads every frame before it answers, so a whole clip would have to be held. Runs of a fixed number of bytes give
the same palette for a short clip and one palette per scene-length piece of a long one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import av

_RUN_BYTES = 192 * 2**20
_BYTES_PER_PIXEL = 4

# Dithering per quality, from this table alone: filter arguments are never taken from a workflow.
_DITHER = {
    "low": "dither=bayer:bayer_scale=2",
    "medium": "dither=bayer:bayer_scale=4",
    "high": "dither=sierra2_4a",
    "very high": "dither=floyd_steinberg",
}
_COLOURS = {"low": 64, "medium": 128, "high": 256, "very high": 256}


def with_palettes(frames: Iterator[av.VideoFrame], quality: str, alpha: bool) -> Iterator[av.VideoFrame]:
    """`bgra` frames as `pal8` frames with their time stamps."""
    run: list[av.VideoFrame] = []
    for frame in frames:
        run.append(frame)
        if len(run) * frame.width * frame.height * _BYTES_PER_PIXEL >= _RUN_BYTES:
            yield from _quantised(run, quality, alpha)
            run = []
    if run:
        yield from _quantised(run, quality, alpha)


def _quantised(run: list[av.VideoFrame], quality: str, alpha: bool) -> Iterator[av.VideoFrame]:
    from av.error import BlockingIOError, EOFError
    from av.filter import Graph

    graph = Graph()
    first = run[0]
    source = graph.add_buffer(width=first.width, height=first.height, format=first.format, time_base=first.time_base)
    split = graph.add("split")
    colours = _COLOURS[quality]
    generate = graph.add("palettegen", f"max_colors={colours}:stats_mode=full:reserve_transparent={int(alpha)}")
    apply = graph.add("paletteuse", f"{_DITHER[quality]}:diff_mode=rectangle")
    sink = graph.add("buffersink")
    source.link_to(split)
    split.link_to(apply, 0, 0)
    split.link_to(generate, 1, 0)
    generate.link_to(apply, 0, 1)
    apply.link_to(sink)
    graph.configure()
    stamps = [(frame.pts, frame.time_base) for frame in run]
    for frame in run:
        source.push(frame)
    run.clear()
    source.push(None)
    for pts, time_base in stamps:
        try:
            quantised: Any = sink.pull()
        except (BlockingIOError, EOFError):
            return
        quantised.pts, quantised.time_base = pts, time_base
        yield quantised
