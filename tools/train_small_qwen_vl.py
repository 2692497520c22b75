"""Train the small Qwen2.5-VL of `demo/models/`: `python tools/train_small_qwen_vl.py STAGE --out FOLDER`, stages in order or `all`.

Nothing is read but this repository: pictures are drawn by `demo/shapes.py`, questions and answers written by `demo/questions.py`. Every
stage is seeded and leaves its result and its loss curve in FOLDER; a stage that was stopped goes on where it was.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from training.stages import run_stages

VISION_STEPS = 900
CHAT_STEPS = 1_600
COLOUR_STEPS = 700


def _repository(out: Path) -> None:
    from training.chat_model import write_repository

    write_repository(out / "model")


def _vision(out: Path) -> None:
    import torch
    from training.chat_model import new_model
    from training.chat_train import train_vision

    torch.manual_seed(9)
    model = new_model(out / "model")
    train_vision(model, out / "model", VISION_STEPS, out / "vision.loss.json")
    model.save_pretrained(out / "vision")


def _chat(out: Path) -> None:
    _train_chat(out, "vision", "chat", CHAT_STEPS)


def _colours(out: Path) -> None:
    _train_chat(out, "chat", "colours", COLOUR_STEPS)


def _train_chat(out: Path, before: str, after: str, steps: int) -> None:
    from training.chat_train import train_chat
    from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(out / before)
    tokenizer = AutoTokenizer.from_pretrained(out / "model")
    train_chat(model, tokenizer, out / "model", steps, out / f"{after}.loss.json", any_colours=after == "colours")
    model.save_pretrained(out / after)


def _write(out: Path) -> None:
    """The weights in bf16 beside the repository's other files, in FOLDER/model; the config stays in the published shape."""
    from advanced_models.demo.weights import write_part
    from transformers import Qwen2_5_VLForConditionalGeneration

    files = [out / "model" / name for name in ("config.json", "generation_config.json")]
    kept = [file.read_text(encoding="utf-8") for file in files]
    write_part(Qwen2_5_VLForConditionalGeneration.from_pretrained(out / "colours"), out / "model", "bf16")
    for file, text in zip(files, kept, strict=True):
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    run_stages(__doc__, {"repository": _repository, "vision": _vision, "chat": _chat, "colours": _colours, "write": _write})
