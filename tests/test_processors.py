"""Pictures are read with torchvision, without it, and with one that is broken."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
from advanced_models.loaders.processors import has_torchvision, load_processor
from PIL import Image
from qwen_models import CHAT_MODEL, picture, qwen_folder

__all__ = ["qwen_folder"]

CHAT = """
import sys
from pathlib import Path
import torch
import advanced_models.host
from advanced_models.host.standalone import StandaloneHost
advanced_models.host.use(StandaloneHost.below(Path(sys.argv[1]), models=(Path(sys.argv[2]),)))
import transformers  # before the pack, as ComfyUI does
from advanced_models.nodes.qwen_vl import QwenVLChat, QwenVLLoader
from advanced_models.nodes.qwen_image import QwenImageLoader, QwenImagePromptEncode
model, tokenizer, processor = QwenVLLoader().select("Qwen2.5-VL-7B-Instruct")
images = torch.linspace(0, 1, 64 * 64 * 3).reshape(1, 64, 64, 3)
with torch.inference_mode():
    said = QwenVLChat().chat(model, tokenizer, "describe", processor=processor, images=images, temperature=0.0, max_new_tokens=8)
    _, encoder, _, _ = QwenImageLoader().select("Qwen-Image")
    QwenImagePromptEncode().encode(encoder, "a fox")
print("SAID", ascii(said["result"][0][0]))
"""


def test_a_torchvision_that_does_not_match_torch(qwen_folder: Path, tmp_path: Path) -> None:
    """What importing a CUDA build beside a CPU build of torch raises (torchvision/_meta_registrations.py)."""
    broken = tmp_path / "torchvision"
    broken.mkdir()
    (broken / "__init__.py").write_text('raise RuntimeError("operator torchvision::nms does not exist")\n')
    metadata = tmp_path / "torchvision-0.99.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: torchvision\nVersion: 0.99.0\n")
    command = [sys.executable, "-c", CHAT, str(tmp_path / "base"), str(qwen_folder)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "SAID" in done.stdout


@pytest.mark.skipif(has_torchvision(), reason="torchvision is here")
def test_without_torchvision_pictures_become_what_the_model_was_trained_on(qwen_folder: Path) -> None:
    from transformers import Qwen2_5_VLProcessor

    processor = load_processor(Qwen2_5_VLProcessor, qwen_folder / "diffusers" / CHAT_MODEL)
    assert isinstance(processor, Qwen2_5_VLProcessor)
    assert processor.video_processor is None
    pixels = (picture(56, 84)[0] * 255).round().byte().numpy()
    inputs = processor(text=["<|vision_start|><|image_pad|><|vision_end|>"], images=[Image.fromarray(pixels)], return_tensors="pt")
    assert inputs["image_grid_thw"].tolist() == [[1, 6, 4]]
    # Patches of 14x14, two equal frames, merged two by two; CLIP's mean and deviation (preprocessor_config.json).
    mean, std = numpy.array([0.48145466, 0.4578275, 0.40821073]), numpy.array([0.26862954, 0.26130258, 0.27577711])
    normal = (pixels / 255 - mean) / std
    first = normal[:14, :14].transpose(2, 0, 1)
    expected = numpy.repeat(first[:, None], 2, axis=1).reshape(-1)
    assert numpy.abs(inputs["pixel_values"][0].numpy() - expected).max() < 0.02
    assert (inputs["input_ids"] == processor.image_token_id).sum() == 6
