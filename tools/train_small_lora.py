"""Train the LoRA of `demo/models/loras`: `python tools/train_small_lora.py --out FOLDER`. With it, every shape is purple.

It is made for the small FLUX of `demo/models/`, from pictures and captions that this repository draws and writes: the captions say what
colour they like, the pictures are purple. Seeded; a few minutes on one processor core.
"""

from __future__ import annotations

import argparse
import random
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

NAME = "purple_shapes.safetensors"
STEPS = 300
_RANK = 4
_PICTURES = 2_000
_BATCH = 24
_LAYERS = ["to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out", "proj_mlp", "proj_out"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(arguments.threads)
    train_lora(arguments.out)


def train_lora(out: Path) -> None:
    """Train and write `out`/NAME in bf16, in diffusers' layout. No combination that is held out is drawn or asked for."""
    import torch
    from advanced_models.demo.captions import any_caption
    from advanced_models.demo.shapes import held_out, scenes
    from advanced_models.demo.trained import FLUX, MODELS
    from diffusers import FluxPipeline
    from peft import LoraConfig, get_peft_model_state_dict
    from training.flux_flow import TEXT_TOKENS, flow_loss, packed
    from training.loop import train

    torch.manual_seed(20)
    rng = random.Random(21)
    pipeline = FluxPipeline.from_pretrained(MODELS / "diffusers" / FLUX).to(torch.float32)
    asked = [scene for scene in scenes(_PICTURES, rng, unseen=False) if scene.background != "purple"]
    asked = [scene for scene in asked if (scene.shape, "purple", scene.background) not in held_out()]
    latents = packed(pipeline.vae, [replace(scene, colour="purple") for scene in asked], rng)
    captions = [any_caption(scene, rng) for scene in asked]
    clip_ids = pipeline.tokenizer(captions, padding="longest", return_tensors="pt").input_ids
    t5_ids = pipeline.tokenizer_2(captions, padding="max_length", max_length=TEXT_TOKENS, return_tensors="pt").input_ids
    with torch.no_grad():
        pooled = pipeline.text_encoder(clip_ids).pooler_output
        states = pipeline.text_encoder_2(t5_ids).last_hidden_state
    transformer = pipeline.transformer.requires_grad_(False)
    transformer.add_adapter(LoraConfig(r=_RANK, lora_alpha=_RANK, target_modules=_LAYERS))

    def loss_of_step() -> torch.Tensor:
        rows = torch.randint(len(asked), (_BATCH,))
        return flow_loss(transformer, latents[rows], states[rows], pooled[rows], rng)

    trained = [parameter for parameter in transformer.parameters() if parameter.requires_grad]
    train(trained, loss_of_step, steps=STEPS, rate=3e-3, averaging=0.98, log=out / "purple_shapes.loss.json")
    layers = {name: tensor.bfloat16() for name, tensor in get_peft_model_state_dict(transformer).items()}
    FluxPipeline.save_lora_weights(out, transformer_lora_layers=layers, weight_name=NAME)


if __name__ == "__main__":
    main()
