"""The small Qwen models: Qwen-Image draws, Qwen2.5-VL reads pictures, the tokenizer frames a chat as the real one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from advanced_models.demo.build import build
from advanced_models.demo.qwen_tokenizer import SPECIAL_TOKENS


@pytest.fixture(scope="module")
def chat_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("qwen_vl", tmp_path_factory.mktemp("qwen") / "model")


@pytest.mark.parametrize("text", ["a red fox", "Bäume, 狐 & 42 cars!", "two\nlines  and spaces"])
def test_text_survives_the_tokenizer(chat_model: Path, text: str) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(chat_model)
    assert tokenizer.decode(tokenizer(text).input_ids) == text
    assert all(len(tokenizer(token).input_ids) == 1 for token in SPECIAL_TOKENS)


def test_chat_template(chat_model: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(chat_model)
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}]
    # Written out by hand from Qwen2.5-VL's documentation.
    assert tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>What is it?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_qwen_vl_loads_without_a_missing_weight_and_sees_the_picture(chat_model: Path) -> None:
    import torch
    from PIL import Image
    from transformers import AutoImageProcessor, AutoTokenizer, Qwen2_5_VLForConditionalGeneration

    model, report = Qwen2_5_VLForConditionalGeneration.from_pretrained(chat_model, output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    model.float()
    tokenizer, processor = AutoTokenizer.from_pretrained(chat_model), AutoImageProcessor.from_pretrained(chat_model, use_fast=False)

    def logits(color: str) -> Any:
        pixels = processor(images=[Image.new("RGB", (112, 112), color)], return_tensors="pt")
        tokens = int(pixels["image_grid_thw"].prod()) // 4  # 2 x 2 patches to a token
        text = tokenizer("<|vision_start|>" + "<|image_pad|>" * tokens + "<|vision_end|>What?", return_tensors="pt")
        with torch.no_grad():
            return model(**text, **pixels).logits

    assert (logits("red") - logits("blue")).abs().max() > 0.01


def test_qwen_image_draws(tmp_path: Path) -> None:
    import torch
    from diffusers import QwenImagePipeline

    pipeline = QwenImagePipeline.from_pretrained(build("Qwen-Image", tmp_path / "model"), torch_dtype=torch.bfloat16)
    pipeline.set_progress_bar_config(disable=True)

    def draw(prompt: str, scale: float = 4.0) -> Any:
        noise = torch.Generator().manual_seed(0)
        sizes = {"height": 64, "width": 64, "num_inference_steps": 2}
        return pipeline(prompt, negative_prompt=" ", true_cfg_scale=scale, generator=noise, output_type="pt", **sizes).images.float()

    picture = draw("a red fox")
    assert picture.shape == (1, 3, 64, 64)
    assert picture.isfinite().all()
    assert (picture - draw("a blue car")).abs().mean() > 1 / 255
    assert not torch.equal(picture, draw("a red fox", scale=2.0))


def test_an_edit_model_has_what_its_processor_needs(tmp_path: Path) -> None:
    folder = build("Qwen-Image-Edit", tmp_path / "model") / "processor"
    for name in ("preprocessor_config.json", "chat_template.json", "vocab.json", "merges.txt", "tokenizer_config.json"):
        assert (folder / name).is_file()
