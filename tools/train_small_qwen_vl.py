"""Train the small Qwen2.5-VL of `demo/models/`: `python tools/train_small_qwen_vl.py STAGE --out FOLDER`, stages in order or `all`.

Nothing is read but this repository: pictures are drawn by `demo/shapes.py`, questions and answers written by `demo/questions.py`, and the
last training shows pictures as the VAE of the small FLUX gives them back. Every stage is seeded and leaves its result and its loss curve in
FOLDER; a stage that was stopped goes on where it was.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from training.chat_train import Stage
from training.stages import run_stages

FLUX = Path(__file__).parents[1] / "demo" / "models" / "diffusers" / "FLUX.1-schnell"
VISION_STEPS = 900
CHAT = Stage(steps=1_600, seed=13, rate=1e-3, hold=0.2, shares=(6, 2, 1, 0, 0))
COLOURS = Stage(steps=700, seed=14, rate=7e-4, hold=0.1, shares=(6, 2, 3, 5, 0))
PAINTED = Stage(steps=800, seed=15, rate=7e-4, hold=0.1, shares=(3, 2, 1, 7, 4))


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
    _train_chat(out, "vision", "chat", CHAT)


def _colours(out: Path) -> None:
    """With pictures in arbitrary colours."""
    _train_chat(out, "chat", "colours", COLOURS)


def _painted(out: Path) -> None:
    """With pictures as the small FLUX's VAE gives them back, and of shapes that have no name."""
    from diffusers import AutoencoderKL

    _train_chat(out, "colours", "painted", PAINTED, AutoencoderKL.from_pretrained(FLUX, subfolder="vae"))


def _averaged(out: Path) -> None:
    """The mean of the weights before and after the last stage, which does better than either: each knows what the other forgot."""
    import torch
    from transformers import Qwen2_5_VLForConditionalGeneration

    model, other = (Qwen2_5_VLForConditionalGeneration.from_pretrained(out / name) for name in ("colours", "painted"))
    with torch.no_grad():
        for mine, others in zip(model.parameters(), other.parameters(), strict=True):
            mine.lerp_(others, 0.5)
    model.save_pretrained(out / "averaged")


def _train_chat(out: Path, before: str, after: str, stage: Stage, vae: Any = None) -> None:
    from training.chat_train import train_chat
    from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(out / before)
    tokenizer = AutoTokenizer.from_pretrained(out / "model")
    train_chat(model, tokenizer, out / "model", stage, out / f"{after}.loss.json", vae=vae)
    model.save_pretrained(out / after)


def _write(out: Path) -> None:
    """The weights in bf16 beside the repository's other files, in FOLDER/model; the config stays in the published shape."""
    from advanced_models.demo.weights import write_part
    from transformers import Qwen2_5_VLForConditionalGeneration

    files = [out / "model" / name for name in ("config.json", "generation_config.json")]
    kept = [file.read_text(encoding="utf-8") for file in files]
    write_part(Qwen2_5_VLForConditionalGeneration.from_pretrained(out / "averaged"), out / "model", "bf16")
    for file, text in zip(files, kept, strict=True):
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    stages = (_repository, _vision, _chat, _colours, _painted, _averaged, _write)
    run_stages(__doc__, {stage.__name__.removeprefix("_"): stage for stage in stages})
