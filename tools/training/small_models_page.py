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
_PRECISIONS = ("bf16", "fp8", "int8", "nf4", "GGUF Q8_0", "GGUF Q4_0")
_COLUMNS = ("three", "shape", "colour", "background", "position", "size")
_WIDTH, _HEIGHT, _IN_A_ROW = 280, 130, 3

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

_TRAINING = """
## Training

Loss of each stage over its steps, logarithmic; one CPU thread, AdamW, a warmed-up cosine schedule (`tools/training/loop.py`).

![Training curves](training_curves.svg)
"""


def write_page(figures: dict[str, Any], docs: Path) -> None:
    """Write the page and its two pictures into `docs`. The host of the process must search the trained models."""
    curves = sorted((docs / "training").glob("*.loss.json"))
    (docs / "training_curves.svg").write_text(_curves(curves), encoding="utf-8")
    parts = [_HEAD, *_flux(figures), *_precisions(figures), *_lora(figures), *measure_wan.section(figures), *_qwen(figures), _TRAINING]
    (docs / "small_models.md").write_text("".join(parts), encoding="utf-8")
    write_contact_sheet(docs / "contact_sheet.png")


def _flux(figures: dict[str, Any]) -> list[str]:
    parts = [_FLUX]
    for name, title in _ROWS.items():
        if name in figures:
            found = figures[name]
            parts.append(f"| {title} | {found['count']} | " + " | ".join(_share(found[column]) for column in _COLUMNS) + " |\n")
    if "strengths" in figures:
        found = figures["strengths"]["distances"]
        parts.append(
            "\nThe more strength, the less stays of the picture that image to image starts from. Mean difference from it, of 1:\n\n"
            f"| strength | {' | '.join(found)} |\n|{'---|' * (len(found) + 1)}\n"
            f"| difference | {' | '.join(f'{value:.3f}' for value in found.values())} |\n"
        )
    if "inpainting" in figures:
        found = figures["inpainting"]
        parts.append(
            f"\nInpainting changes values inside the box by {found['inside']:.3f} in the mean, outside by {found['outside']:.4f} (of 1), "
            "against the start as the VAE gives it back. Outside, latents stay what they were; the small VAE's group norms look at the "
            "whole picture, so that pixels move a little with what is painted elsewhere.\n"
        )
    return parts


def _precisions(figures: dict[str, Any]) -> list[str]:
    measured = [name for name in _PRECISIONS if name in figures]
    if not measured:
        return []
    return [
        f"\n## Precisions\n\nThe transformer's weights in other precisions: all three right of {figures[measured[0]]['count']} English "
        "prompts at 4 steps.\n\n"
        f"| {' | '.join(measured)} |\n|{'---|' * len(measured)}\n"
        f"| {' | '.join(_share(figures[name]['three']) for name in measured)} |\n"
    ]


def _lora(figures: dict[str, Any]) -> list[str]:
    if "lora" not in figures:
        return []
    found = figures["lora"]
    return [
        "\n## LoRA\n\n`demo/models/loras/purple_shapes.safetensors` at strength 1: shape and background as asked, but purple, "
        f"in {_share(found['purple'])} of {found['count']} prompts. Strength 0 changes "
        f"{'nothing' if found['strength 0 changes nothing'] else 'pictures, which is a fault'}.\n"
    ]


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
    """One small chart a stage, a few in a row, as an SVG."""
    width, height = min(len(files), _IN_A_ROW) * _WIDTH, -(-len(files) // _IN_A_ROW) * _HEIGHT
    charts = [
        f'<g transform="translate({index % _IN_A_ROW * _WIDTH} {index // _IN_A_ROW * _HEIGHT})">{_chart(file)}</g>'
        for index, file in enumerate(files)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="10"><rect width="100%" height="100%" fill="white"/>{"".join(charts)}</svg>\n'
    )


def _chart(file: Path) -> str:
    points = [(step, math.log(loss)) for step, loss in json.loads(file.read_text(encoding="utf-8")) if loss > 0]
    last, low, high = points[-1][0], min(y for _, y in points), max(y for _, y in points)
    left, top, inner_width, inner_height = 45, 25, _WIDTH - 60, _HEIGHT - 50
    path = " ".join(f"{left + x / last * inner_width:.1f},{top + (high - y) / max(high - low, 1e-9) * inner_height:.1f}" for x, y in points)
    title = file.name.removesuffix(".loss.json").replace("_", " ")
    return (
        f'<text x="{left}" y="15" font-weight="bold">{title}</text>'
        f'<text x="{left - 5}" y="{top + 8}" text-anchor="end">{math.exp(high):.3g}</text>'
        f'<text x="{left - 5}" y="{top + inner_height}" text-anchor="end">{math.exp(low):.3g}</text>'
        f'<text x="{left + inner_width}" y="{_HEIGHT - 8}" text-anchor="end">{last} steps</text>'
        f'<polyline points="{path}" fill="none" stroke="#1f77b4" stroke-width="1.5"/>'
    )
