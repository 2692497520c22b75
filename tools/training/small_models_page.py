"""Writes `docs/small_models.md` from the figures that were measured, the curves from the losses of the trainings, and the contact sheet."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from advanced_models.demo.contact_sheet import write_contact_sheet

from . import measure_wan

_ROWS = {
    "en": "English prompts",
    "de": "German prompts",
    "zh": "Chinese prompts",
    "image to image": "image to image, strength .8, from a picture of something else",
    "inpainting": "inpainting, another shape in a box",
}
_COLUMNS = ("three", "shape", "colour", "background", "position", "size")
_WIDTH, _HEIGHT = 280, 130

_HEAD = """# The trained small models, measured

Written by `tools/measure_small_models.py`. All is asked of combinations of shape, colour and background that no stage of any training has
seen (`held_out()` in `demo/shapes.py`, a quarter of all), and pictures are judged by `demo/classifier.py`, from geometry alone.

![What the models do](contact_sheet.png)
"""

_FLUX = """
## FLUX: pictures

Shares that are right at 8 steps, transformer in fp32; *all three* is shape, colour and background together.

| | of | all three | shape | colour | background | position | size |
|---|---|---|---|---|---|---|---|
"""


def write_page(figures: dict[str, Any], docs: Path) -> None:
    """Write the page and its two pictures into `docs`. The host of the process must search the trained models."""
    parts = [_HEAD, _FLUX]
    for name, title in _ROWS.items():
        if name in figures:
            found = figures[name]
            parts.append(f"| {title} | {found['count']} | " + " | ".join(_share(found[column]) for column in _COLUMNS) + " |\n")
    if "inpainting" in figures:
        found = figures["inpainting"]
        parts.append(
            f"\nInpainting changes values inside the box by {found['inside']:.3f} in the mean, outside by {found['outside']:.4f} (of 1), "
            "against the start as the VAE gives it back.\n"
        )
    precisions = [name for name in ("bf16", "fp8", "int8", "nf4") if name in figures]
    if precisions:
        count = figures[precisions[0]]["count"]
        parts.append(f"\n## Precisions\n\nThe transformer held in other precisions, {count} English prompts: all three right.\n\n")
        parts.append(f"| {' | '.join(precisions)} |\n|{'---|' * len(precisions)}\n")
        parts.append(f"| {' | '.join(_share(figures[name]['three']) for name in precisions)} |\n")
    if "lora" in figures:
        found = figures["lora"]
        parts.append(
            "\n## LoRA\n\n`demo/models/loras/purple_shapes.safetensors` at strength 1: shape and background as asked, but purple, "
            f"in {_share(found['purple'])} of {found['count']} prompts. Strength 0 changes "
            f"{'nothing' if found['strength 0 changes nothing'] else 'pictures, which is a fault'}.\n"
        )
    parts += [*measure_wan.section(figures), *_qwen(figures)]
    curves = sorted((docs / "training").glob("*.loss.json"))
    (docs / "training_curves.svg").write_text(_curves(curves), encoding="utf-8")
    parts.append("\n## Training\n\nLoss of each stage over its steps, logarithmic.\n\n![Training curves](training_curves.svg)\n")
    (docs / "small_models.md").write_text("".join(parts), encoding="utf-8")
    write_contact_sheet(docs / "contact_sheet.png")


def _qwen(figures: dict[str, Any]) -> list[str]:
    parts = []
    if "answers" in figures:
        found = figures["answers"]
        topics = [name.removeprefix("en ") for name in found if name.startswith("en ")]
        parts.append(f"\n## Qwen2.5-VL: answers\n\nRight answers about drawn pictures, word for word; {_share(found['all'])} of all.\n\n")
        parts.append(f"| | {' | '.join(topics)} |\n|{'---|' * (len(topics) + 1)}\n")
        for language, title in (("en", "English"), ("zh", "Chinese")):
            parts.append(f"| {title} | {' | '.join(_share(found[f'{language} {topic}']) for topic in topics)} |\n")
    if "loop" in figures:
        found = figures["loop"]
        parts.append(
            f"\nDrawing and describing: of {found['count']} prompts that the FLUX drew, the Qwen2.5-VL said shape, colour and background "
            f"as the prompt did in {_share(found['three'])}, the whole sentence with place and size in {_share(found['sentence'])}.\n"
        )
    return parts


def _share(value: float) -> str:
    return f"{100 * value:.0f} %" if value in (0, 1) else f"{100 * value:.1f} %"


def _curves(files: list[Path]) -> str:
    """One small chart a stage, side by side, as an SVG."""
    width = max(1, len(files)) * _WIDTH
    charts = [_chart(file, index * _WIDTH) for index, file in enumerate(files)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT}" width="{width}" height="{_HEIGHT}" '
        f'font-family="sans-serif" font-size="10"><rect width="100%" height="100%" fill="white"/>{"".join(charts)}</svg>\n'
    )


def _chart(file: Path, left: int) -> str:
    points = [(step, math.log(loss)) for step, loss in json.loads(file.read_text(encoding="utf-8")) if loss > 0]
    last, low, high = points[-1][0], min(y for _, y in points), max(y for _, y in points)
    inner_width, inner_height, top = _WIDTH - 60, _HEIGHT - 50, 25
    path = " ".join(
        f"{left + 45 + x / last * inner_width:.1f},{top + (high - y) / max(high - low, 1e-9) * inner_height:.1f}" for x, y in points
    )
    title = file.name.removesuffix(".loss.json").replace("_", " ")
    return (
        f'<text x="{left + 45}" y="15" font-weight="bold">{title}</text>'
        f'<text x="{left + 40}" y="{top + 8}" text-anchor="end">{math.exp(high):.3g}</text>'
        f'<text x="{left + 40}" y="{top + inner_height}" text-anchor="end">{math.exp(low):.3g}</text>'
        f'<text x="{left + 45 + inner_width}" y="{_HEIGHT - 8}" text-anchor="end">{last} steps</text>'
        f'<polyline points="{path}" fill="none" stroke="#1f77b4" stroke-width="1.5"/>'
    )
