"""FLUX node by node beside the whole diffusers pipeline, in one process and interleaved: what the nodes cost and what they save.

A small FLUX.1 [dev] whose parts take time in realistic proportion (a T5 that is a few steps' worth of work) paints the same picture both
ways. `overhead` compares the same work: a new prompt and a new seed for both. `repeat` changes the seed alone: the nodes then encode
nothing. Both must give the same pixels.
"""

from __future__ import annotations

import gc
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from advanced_models import host
from advanced_models.demo.build import build
from advanced_models.demo.weights import save_part
from advanced_models.host.standalone import StandaloneHost
from advanced_models.loaders.store import STORE
from advanced_models.nodes import NODE_CLASS_MAPPINGS
from advanced_models.workflows.definitions import Definitions
from advanced_models.workflows.document import Document
from advanced_models.workflows.execute import Executor
from advanced_models.workflows.validate import validate

MODEL = "FLUX.1-dev"
SIDE = 384
STEPS = 8
ROUNDS = 5


def build_model(folder: Path) -> None:
    """The small FLUX.1 [dev] with a wider transformer and T5."""
    from diffusers import FluxTransformer2DModel
    from transformers import T5Config, T5EncoderModel

    build(MODEL, folder)
    width = 384
    vocabulary = T5Config.from_pretrained(folder / "text_encoder_2").vocab_size
    encoder = T5EncoderModel(
        T5Config(vocab_size=vocabulary, d_model=width, d_kv=64, num_heads=6, d_ff=1024, num_layers=8, feed_forward_proj="gated-gelu")
    )
    transformer = FluxTransformer2DModel(
        in_channels=64,
        num_layers=3,
        num_single_layers=6,
        attention_head_dim=64,
        num_attention_heads=4,
        joint_attention_dim=width,
        pooled_projection_dim=32,
        guidance_embeds=True,
        axes_dims_rope=(8, 28, 28),
    )
    for part, name in ((encoder, "text_encoder_2"), (transformer, "transformer")):
        shutil.rmtree(folder / name)
        save_part(part, folder / name, "fp32", seed=1)


def graph(prompt: str, seed: int) -> dict[str, Any]:
    """The API form of text to image."""
    size = {"width": SIDE, "height": SIDE}
    return {
        "1": {"class_type": "FluxLoader", "inputs": {"model": MODEL, "precision": "fp32"}},
        "2": {"class_type": "FluxPromptEncode", "inputs": {"clip_l": ["1", 1], "t5_xxl": ["1", 2], "prompt": prompt, "guidance": -1.0}},
        "3": {
            "class_type": "FluxDenoise",
            "inputs": {
                "transformer": ["1", 0],
                "conditioning": ["2", 0],
                **size,
                "seed": seed,
                "steps": STEPS,
                "denoise": 1.0,
                "batch_size": 1,
            },
        },
        "4": {"class_type": "FluxDecode", "inputs": {"vae": ["1", 3], "latent": ["3", 0]}},
        "5": {"class_type": "Keep", "inputs": {"images": ["4", 0]}},
    }


class Keep:
    """The output node: keeps the last pictures."""

    RETURN_TYPES = ()
    OUTPUT_NODE = True
    FUNCTION = "keep"
    images: torch.Tensor

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"images": ("IMAGE",)}}

    def keep(self, images: torch.Tensor) -> tuple[()]:
        Keep.images = images
        return ()


def timed(call: Callable[[], torch.Tensor]) -> tuple[float, torch.Tensor]:
    gc.collect()
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result


def main() -> None:
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base) / "models" / "diffusers" / MODEL
        build_model(folder)
        host.use(StandaloneHost.below(Path(base)))
        compare(folder)


def compare(folder: Path) -> None:
    from diffusers import FluxPipeline

    definitions = Definitions({**NODE_CLASS_MAPPINGS, "Keep": Keep})
    executor = Executor(definitions)

    def nodes(prompt: str, seed: int) -> torch.Tensor:
        executor.run(validate(Document("benchmark", graph(prompt, seed), is_page=False).prompt(definitions), definitions))
        return Keep.images

    first, _ = timed(lambda: nodes("first", 0))
    loads = STORE.loads
    pipeline = FluxPipeline.from_pretrained(folder).to(torch.float32)
    pipeline.set_progress_bar_config(disable=True)

    def whole(prompt: str, seed: int) -> torch.Tensor:
        with torch.inference_mode():
            images = pipeline(
                prompt, width=SIDE, height=SIDE, num_inference_steps=STEPS, guidance_scale=3.5, max_sequence_length=512,
                generator=torch.Generator().manual_seed(seed), output_type="pt",
            ).images  # fmt: skip
        return images.movedim(1, -1)

    whole("warm up", 0)
    same_work, repeats, totals = [], [], []
    for round_number in range(ROUNDS):
        prompt = f"a red fox, number {round_number}"
        second, ours = timed(lambda p=prompt, n=round_number: nodes(p, n))
        whole_time, theirs = timed(lambda p=prompt, n=round_number: whole(p, n))
        third, again = timed(lambda p=prompt, n=round_number: nodes(p, n + 100))
        whole_again, reference = timed(lambda p=prompt, n=round_number: whole(p, n + 100))
        assert torch.equal(ours, theirs) and torch.equal(again, reference)
        same_work.append(second / whole_time)
        repeats.append(third / whole_again)
        totals.append((second, third, whole_time))
    second, third, whole_time = (statistics.median(column) for column in zip(*totals, strict=True))
    print(f"nodes, run 1 (loads)            {first:7.3f} s")
    print(f"nodes, run 2 (new prompt, seed) {second:7.3f} s")
    print(f"nodes, run 3 (new seed)         {third:7.3f} s")
    print(f"whole pipeline                  {whole_time:7.3f} s")
    print(f"overhead of the nodes for the same work: {statistics.median(same_work) - 1:+.1%} (target: at most +3 %)")
    print(f"repeat with another seed: {statistics.median(repeats):.2f} of the whole pipeline's time (target: below 1)")
    print(f"modules loaded after run 1: {STORE.loads - loads}")


if __name__ == "__main__":
    main()
