"""What the small tokenizers are trained on, and how their files are written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SENTENCES = (
    "a photo of a red fox jumping over a small green hill at sunset, cinematic light, high detail.",
    "a cat walks on the grass, realistic style. make the sky blue and remove the car.",
    "a photo of a cat in the grass at sunset, cinematic light, a red car on a green hill, a small fox and a blue sky",
    "blurry, low quality, worst quality, overexposed, static, ugly, deformed",
    "Describe the image by detailing the color, shape, size, texture, quantity, text, spatial relationships of the objects and background:",
    "Describe the key features of the input image, then explain how the user's text instruction should alter it.",
    "Generate a new image that meets the user's requirements while maintaining consistency with the original input.",
    "system user assistant You are a helpful assistant. What is in this picture? Answer in one sentence.",
    "The quick brown fox jumps over the lazy dog. SPHINX OF BLACK QUARTZ, JUDGE MY VOW!",
    "0 1 2 3 4 5 6 7 8 9 0123456789 ( ) [ ] { } < > / \\ | - _ = + * & ^ % $ # @ ! ? : ; ' \" ~ ` . ,",
    "a b c d e f g h i j k l m n o p q r s t u v w x y z A B C D E F G H I J K L M N O P Q R S T U V W X Y Z",
)
"""Prompts, the words of the templates around them, and every printable ASCII character."""


def write_json(path: Path, content: Any) -> None:
    """Write `content` as a JSON file, creating its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
