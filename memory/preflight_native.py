"""ComfyUI's own nodes as far as a preflight needs them: which inputs name files, and in which order their widgets stand in saved files.

Names and orders are those of ComfyUI 0.3.64 (nodes.py, comfy_extras); a page file lists the widget values of a node by position only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..workflows.definitions import InputSpec, NodeDefinition

FILE_INPUTS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "UNETLoader": (("unet_name", "diffusion_models"),),
    "UnetLoaderGGUF": (("unet_name", "diffusion_models"),),
    "CLIPLoader": (("clip_name", "text_encoders"),),
    "CLIPLoaderGGUF": (("clip_name", "text_encoders"),),
    "DualCLIPLoader": (("clip_name1", "text_encoders"), ("clip_name2", "text_encoders")),
    "TripleCLIPLoader": tuple((f"clip_name{n}", "text_encoders") for n in (1, 2, 3)),
    "QuadrupleCLIPLoader": tuple((f"clip_name{n}", "text_encoders") for n in (1, 2, 3, 4)),
    "VAELoader": (("vae_name", "vae"),),
    "CLIPVisionLoader": (("clip_name", "clip_vision"),),
    "CheckpointLoaderSimple": (("ckpt_name", "checkpoints"),),
    "CheckpointLoader": (("ckpt_name", "checkpoints"),),
    "ImageOnlyCheckpointLoader": (("ckpt_name", "checkpoints"),),
}
"""Loader -> (input that names a file, model folder)."""

UNCOUNTED_FILES: Mapping[str, tuple[str, str]] = {
    "LoraLoaderModelOnly": ("lora_name", "loras"),
    "LoraLoader": ("lora_name", "loras"),
    "ControlNetLoader": ("control_net_name", "controlnet"),
    "ModelPatchLoader": ("name", "model_patches"),
    "StyleModelLoader": ("style_model_name", "style_models"),
    "UpscaleModelLoader": ("model_name", "upscale_models"),
    "LatentUpscaleModelLoader": ("model_name", "latent_upscale_models"),
}
"""Loader -> (input that names a file, model folder), of weights whose memory is not estimated."""

SAMPLERS: Mapping[str, tuple[str, str]] = {
    "KSampler": ("model", "latent_image"),
    "KSamplerAdvanced": ("model", "latent_image"),
    "SamplerCustom": ("model", "latent_image"),
    "SamplerCustomAdvanced": ("guider", "latent_image"),
}
"""Sampler -> (input that leads to the model, input that leads to the size)."""

FRAME_INPUTS = ("length", "frames", "num_frames", "video_frames")
VALUE_INPUTS = ("value", "int", "number", "a")
"""Inputs of the nodes that only hold a number."""

_WIDGETS: Mapping[str, str] = {
    "UNETLoader": "unet_name weight_dtype",
    "UnetLoaderGGUF": "unet_name",
    "CLIPLoader": "clip_name type device",
    "CLIPLoaderGGUF": "clip_name type",
    "DualCLIPLoader": "clip_name1 clip_name2 type device",
    "TripleCLIPLoader": "clip_name1 clip_name2 clip_name3",
    "QuadrupleCLIPLoader": "clip_name1 clip_name2 clip_name3 clip_name4",
    "VAELoader": "vae_name",
    "CLIPVisionLoader": "clip_name",
    "CheckpointLoaderSimple": "ckpt_name",
    "ImageOnlyCheckpointLoader": "ckpt_name",
    "LoraLoaderModelOnly": "lora_name strength_model:FLOAT",
    "LoraLoader": "lora_name strength_model:FLOAT strength_clip:FLOAT",
    "ControlNetLoader": "control_net_name",
    "ModelPatchLoader": "name",
    "StyleModelLoader": "style_model_name",
    "UpscaleModelLoader": "model_name",
    "LatentUpscaleModelLoader": "model_name",
    "EmptyLatentImage": "width:INT height:INT batch_size:INT",
    "EmptySD3LatentImage": "width:INT height:INT batch_size:INT",
    "EmptyFlux2LatentImage": "width:INT height:INT batch_size:INT",
    "EmptyHunyuanLatentVideo": "width:INT height:INT length:INT batch_size:INT",
    "EmptyQwenImageLayeredLatentImage": "width:INT height:INT layers:INT batch_size:INT",
    "EmptyImage": "width:INT height:INT batch_size:INT color:INT",
    "WanImageToVideo": "width:INT height:INT length:INT batch_size:INT",
    "WanFirstLastFrameToVideo": "width:INT height:INT length:INT batch_size:INT",
    "WanFunControlToVideo": "width:INT height:INT length:INT batch_size:INT",
    "WanFunInpaintToVideo": "width:INT height:INT length:INT batch_size:INT",
    "WanCameraImageToVideo": "width:INT height:INT length:INT batch_size:INT",
    "WanVaceToVideo": "width:INT height:INT length:INT batch_size:INT strength:FLOAT",
    "Wan22ImageToVideoLatent": "width:INT height:INT length:INT batch_size:INT",
    "Wan22FunControlToVideo": "width:INT height:INT length:INT batch_size:INT",
    "WanAnimateToVideo": "width:INT height:INT length:INT batch_size:INT continue_motion_max_frames:INT video_frame_offset:INT",
    "WanSoundImageToVideo": "width:INT height:INT length:INT batch_size:INT",
    "ImageScaleToTotalPixels": "upscale_method megapixels:FLOAT",
    "ImageScale": "upscale_method width:INT height:INT crop",
    "PrimitiveInt": "value:SEED",
    "INTConstant": "value:INT",
    "PrimitiveFloat": "value:FLOAT",
    "ComfyMathExpression": "expression",
}


def definitions() -> dict[str, NodeDefinition]:
    """Definitions of the nodes above: their widgets alone, which is what tells a saved file's values apart."""
    return {name: NodeDefinition(name, dict(map(_input, widgets.split())), {}, (), False) for name, widgets in _WIDGETS.items()}


def _input(word: str) -> tuple[str, InputSpec]:
    name, _, kind = word.partition(":")
    options: dict[str, Any] = {"control_after_generate": True} if kind == "SEED" else {}
    return name, InputSpec(name, {"": "COMBO", "SEED": "INT"}.get(kind, kind), None, options, required=True)
