"""Wan node by node, and by the whole pipelines of diffusers, for tests that compare the two."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from advanced_models.nodes import NODE_CLASS_MAPPINGS
from devices import on_cpu, on_device
from PIL import Image
from step_cache_support import enable_cache

PROMPT, NEGATIVE = "a red fox jumps over the lazy dog", "blurry"
SEED = 1234
SIZE = {"width": 96, "height": 64}
FRAMES = 9
STEPS = 4
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def picture(width: int = SIZE["width"], height: int = SIZE["height"], flip: bool = False) -> torch.Tensor:
    """An IMAGE [1, H, W, 3] of 8 bits with smooth colours and an edge."""
    rows = torch.linspace(0, 1, height)[:, None]
    columns = torch.linspace(0, 1, width)[None, :]
    channels = [rows * columns, rows.expand(-1, width), (columns > 0.4).float().expand(height, -1)]
    image = (torch.stack(channels, -1) * 255).round() / 255
    return (image.flip(1) if flip else image)[None]


def clip() -> torch.Tensor:
    """Frames [T, H, W, 3] in which the picture moves."""
    return torch.cat([picture().roll(4 * shift, 2) for shift in range(FRAMES)])


def to_pil(image: torch.Tensor) -> Image.Image:
    return Image.fromarray((image[0] * 255).round().byte().numpy())


def parts_of(model: str, precision: str = "fp32") -> dict[str, Any]:
    """What WanLoader gives, by name."""
    loader = NODE_CLASS_MAPPINGS["WanLoader"]()
    return dict(zip(loader.RETURN_NAMES, loader.select(model, precision), strict=True))


def conditioned(parts: dict[str, Any], first: torch.Tensor | None = None, last: torch.Tensor | None = None) -> dict[str, Any]:
    """The inputs of WanDenoise that the encoding nodes make."""
    positive, negative = NODE_CLASS_MAPPINGS["WanPromptEncode"]().encode(parts["umt5_xxl"], PROMPT, NEGATIVE)
    if first is None:
        return {"positive": positive, "negative": negative}
    encode = NODE_CLASS_MAPPINGS["WanImageEncode"]()
    outputs = encode.encode(
        positive, negative, parts["vae"], first, **SIZE, frames=FRAMES, end_image=last, image_encoder=parts["image_encoder"]
    )
    return dict(zip(encode.RETURN_NAMES, outputs, strict=True))


def denoise(parts: dict[str, Any], inputs: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """WanDenoise's LATENT."""
    call = {**SIZE, "frames": FRAMES, "seed": SEED, "steps": STEPS, "guidance": 5.0, **inputs, **settings}
    latent: dict[str, Any] = NODE_CLASS_MAPPINGS["WanDenoise"]().denoise(parts["transformer"], **call)[0]
    return latent


def decode(vae: Any, latent: dict[str, Any]) -> torch.Tensor:
    """WanDecode's IMAGE, decoded."""
    images: torch.Tensor = NODE_CLASS_MAPPINGS["WanDecode"]().decode(vae, latent)[0].clone()
    return images


def node_by_node(
    model: str, precision: str, first: torch.Tensor | None = None, last: torch.Tensor | None = None, **settings: Any
) -> torch.Tensor:
    """Frames [T, H, W, 3] through the nodes, as a graph would call them."""
    with torch.inference_mode():
        parts = parts_of(model, precision)
        return decode(parts["vae"], denoise(parts, conditioned(parts, first, last), **settings))


def whole_pipeline(
    pipeline_class: str,
    folder: Path,
    precision: str,
    vae_dtype: torch.dtype = torch.float32,
    tiling: bool = False,
    cache: Any = None,
    **call: Any,
) -> torch.Tensor:
    """Frames [T, H, W, 3] of the monolithic pipeline, with VAE and image encoder in float32 as the model cards have them."""
    import diffusers
    import transformers

    _allow_missing_ftfy()
    parts = {"vae": diffusers.AutoencoderKLWan.from_pretrained(folder / "vae", torch_dtype=vae_dtype)}
    if (folder / "image_encoder").is_dir():
        parts["image_encoder"] = transformers.CLIPVisionModel.from_pretrained(folder / "image_encoder", dtype=torch.float32)
    pipeline = getattr(diffusers, pipeline_class).from_pretrained(folder, torch_dtype=DTYPES[precision], **parts)
    pipeline.set_progress_bar_config(disable=True)
    enable_cache(pipeline, cache)
    pipeline.vae.use_tiling = tiling
    size = SIZE if pipeline_class == "WanVideoToVideoPipeline" else {**SIZE, "num_frames": FRAMES}
    settings = {"prompt": PROMPT, "negative_prompt": NEGATIVE, "num_inference_steps": STEPS, "guidance_scale": 5.0, **size, **call}
    on_device(pipeline)
    with torch.inference_mode():
        frames = pipeline(**settings, generator=torch.Generator().manual_seed(SEED), output_type="pt").frames[0]
    return on_cpu(frames).movedim(1, -1).float()


def _allow_missing_ftfy() -> None:
    """diffusers 0.36 repairs prompts with ftfy whether it is there or not. It changes nothing in the prompts here."""
    for name in ("pipeline_wan", "pipeline_wan_i2v", "pipeline_wan_video2video"):
        module = importlib.import_module(f"diffusers.pipelines.wan.{name}")
        if not hasattr(module, "ftfy"):
            module.ftfy = SimpleNamespace(fix_text=str)
