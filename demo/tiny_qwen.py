"""Small Qwen models: Qwen2.5-VL as it chats, and Qwen-Image that paints, edits pictures or takes them apart."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UserError
from .qwen_tokenizer import CHAT_TEMPLATE, write_qwen_tokenizer
from .text import write_json
from .weights import save_part

_WIDTH = 32

_IMAGE_PROCESSOR = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_processor_type": "Qwen2VLImageProcessor",
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "max_pixels": 12845056,
    "merge_size": 2,
    "min_pixels": 3136,
    "patch_size": 14,
    "processor_class": "Qwen2_5_VLProcessor",
    "temporal_patch_size": 2,
}


_IMAGE_PROCESSOR_3 = {
    "image_mean": [0.5, 0.5, 0.5],
    "image_processor_type": "Qwen2VLImageProcessorFast",
    "image_std": [0.5, 0.5, 0.5],
    "merge_size": 2,
    "patch_size": 16,
    "processor_class": "Qwen3VLProcessor",
    "size": {"longest_edge": 16777216, "shortest_edge": 65536},
    "temporal_patch_size": 2,
}


@dataclass(frozen=True)
class QwenImageLayout:
    """In what the models of the Qwen-Image family differ."""

    pipeline: str
    seed: int
    """Of the transformer's weights."""
    transformer: dict[str, Any] = field(default_factory=dict)
    """Settings of the transformer beside those that all have."""
    vae: dict[str, Any] = field(default_factory=dict)

    def missing_from_diffusers(self) -> str:
        """The pipeline, or the first setting of the transformer, that the installed diffusers does not know; empty for none."""
        import diffusers

        if not hasattr(diffusers, self.pipeline):
            return self.pipeline
        known = inspect.signature(diffusers.QwenImageTransformer2DModel.__init__).parameters
        return next((setting for setting in self.transformer if setting not in known), "")


QWEN_IMAGE_LAYOUTS = {
    "Qwen-Image": QwenImageLayout("QwenImagePipeline", seed=23),
    "Qwen-Image-Edit": QwenImageLayout("QwenImageEditPipeline", seed=24),
    "Qwen-Image-Edit-2509": QwenImageLayout("QwenImageEditPlusPipeline", seed=25),
    "Qwen-Image-Edit-2511": QwenImageLayout("QwenImageEditPlusPipeline", seed=28, transformer={"zero_cond_t": True}),
    "Qwen-Image-Layered": QwenImageLayout(
        "QwenImageLayeredPipeline",
        seed=26,
        transformer={"use_additional_t_cond": True, "use_layer3d_rope": True},
        vae={"input_channels": 4},
    ),
}


def build_qwen_vl(folder: Path, dtype: str) -> None:
    """Write a small Qwen2.5-VL-7B-Instruct into `folder`: a transformers repository, everything at its root."""
    tokens = write_qwen_tokenizer(folder)
    _save_qwen_vl(folder, dtype, tokens)
    # Afterwards: saving the weights writes generation settings of its own.
    write_qwen_vl_companions(folder, tokens)


def write_qwen_vl_companions(folder: Path, tokens: dict[str, int]) -> None:
    """Write what stands beside the weights and the tokenizer of a Qwen2.5-VL repository: processor and generation settings."""
    _write_processor(folder)
    write_json(
        folder / "generation_config.json",
        {
            "bos_token_id": tokens["<|endoftext|>"],
            "do_sample": True,
            "eos_token_id": [tokens["<|im_end|>"], tokens["<|endoftext|>"]],
            "pad_token_id": tokens["<|endoftext|>"],
            "repetition_penalty": 1.05,
            "temperature": 0.000001,
        },
    )


def build_qwen3_vl(folder: Path, dtype: str) -> None:
    """Write a small Qwen3-VL-4B-Instruct into `folder`: a transformers repository, everything at its root."""
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    tokens = write_qwen_tokenizer(folder)
    _write_processor(folder, _IMAGE_PROCESSOR_3)
    config = _qwen3_vl_config(tokens)
    save_part(Qwen3VLForConditionalGeneration(Qwen3VLConfig.from_dict(config)), folder, dtype, seed=27)
    write_json(folder / "config.json", config)
    write_json(
        folder / "generation_config.json",
        {
            "bos_token_id": tokens["<|endoftext|>"],
            "do_sample": True,
            "eos_token_id": [tokens["<|im_end|>"], tokens["<|endoftext|>"]],
            "pad_token_id": tokens["<|endoftext|>"],
            "temperature": 0.7,
            "top_k": 20,
            "top_p": 0.8,
        },
    )


def build_qwen_image(folder: Path, dtype: str, *, layout: QwenImageLayout) -> None:
    """Write a small model of the Qwen-Image family into `folder`; those that read pictures have a processor beside the tokenizer.

    Raises UserError where the installed diffusers does not know the pipeline or a setting of the transformer yet.
    """
    import diffusers

    missing = layout.missing_from_diffusers()
    if missing:
        raise UserError(
            f"The installed diffusers {diffusers.__version__} has no {missing}: update it with `pip install --upgrade diffusers`."
        )
    index: dict[str, Any] = {
        "_class_name": layout.pipeline,
        "_diffusers_version": "0.35.0.dev0",
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "text_encoder": ["transformers", "Qwen2_5_VLForConditionalGeneration"],
        "tokenizer": ["transformers", "Qwen2Tokenizer"],
        "transformer": ["diffusers", "QwenImageTransformer2DModel"],
        "vae": ["diffusers", "AutoencoderKLQwenImage"],
    }
    tokens = write_qwen_tokenizer(folder / "tokenizer")
    if layout.pipeline != "QwenImagePipeline":
        index["processor"] = ["transformers", "Qwen2VLProcessor"]
        write_qwen_tokenizer(folder / "processor")
        _write_processor(folder / "processor")
    write_json(folder / "model_index.json", index)
    write_json(folder / "scheduler" / "scheduler_config.json", _SCHEDULER)
    # The encoder is the same in all of them and the VAE in all that know no transparency, as in the real ones.
    _save_qwen_vl(folder / "text_encoder", dtype, tokens)
    save_part(_vae(**layout.vae), folder / "vae", dtype, seed=22)
    save_part(_transformer(**layout.transformer), folder / "transformer", dtype, seed=layout.seed, sharded=True)


def _write_processor(folder: Path, image_processor: dict[str, Any] = _IMAGE_PROCESSOR) -> None:
    write_json(folder / "preprocessor_config.json", image_processor)
    write_json(folder / "chat_template.json", {"chat_template": CHAT_TEMPLATE})


def _save_qwen_vl(folder: Path, dtype: str, tokens: dict[str, int]) -> None:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    config = qwen_vl_config(tokens)
    model = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig.from_dict(config))
    save_part(model, folder, dtype, seed=21, sharded=True)
    # The libraries' releases write this file in different shapes; the published one is flat.
    write_json(folder / "config.json", {**config, "torch_dtype": str(model.dtype).removeprefix("torch.")})


def qwen_vl_config(tokens: dict[str, int]) -> dict[str, Any]:
    """The published config of Qwen2.5-VL-7B-Instruct in its flat shape, with small widths and depths."""
    return {
        "architectures": ["Qwen2_5_VLForConditionalGeneration"],
        "model_type": "qwen2_5_vl",
        "attention_dropout": 0.0,
        "bos_token_id": tokens["<|endoftext|>"],
        "eos_token_id": tokens["<|im_end|>"],
        "vision_start_token_id": tokens["<|vision_start|>"],
        "vision_end_token_id": tokens["<|vision_end|>"],
        "vision_token_id": tokens["<|vision_pad|>"],
        "image_token_id": tokens["<|image_pad|>"],
        "video_token_id": tokens["<|video_pad|>"],
        "hidden_act": "silu",
        "hidden_size": _WIDTH,
        "initializer_range": 0.02,
        "intermediate_size": 2 * _WIDTH,
        "max_position_embeddings": 128000,
        "max_window_layers": 2,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0,
        # A half of the head's width, cut into time, height and width.
        "rope_scaling": {"type": "mrope", "mrope_section": [2, 1, 1]},
        "sliding_window": 32768,
        "tie_word_embeddings": False,
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": len(tokens),
        "vision_config": {
            "depth": 2,
            "fullatt_block_indexes": [1],
            "hidden_act": "silu",
            "hidden_size": _WIDTH,
            "in_chans": 3,
            "intermediate_size": 2 * _WIDTH,
            "model_type": "qwen2_5_vl",
            "num_heads": 2,
            "out_hidden_size": _WIDTH,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "spatial_patch_size": 14,
            "temporal_patch_size": 2,
            "tokens_per_second": 2,
            "window_size": 112,
        },
    }


def _qwen3_vl_config(tokens: dict[str, int]) -> dict[str, Any]:
    return {
        "architectures": ["Qwen3VLForConditionalGeneration"],
        "model_type": "qwen3_vl",
        "image_token_id": tokens["<|image_pad|>"],
        "video_token_id": tokens["<|video_pad|>"],
        "vision_start_token_id": tokens["<|vision_start|>"],
        "vision_end_token_id": tokens["<|vision_end|>"],
        "tie_word_embeddings": True,
        "text_config": {
            "model_type": "qwen3_vl_text",
            "vocab_size": len(tokens),
            "hidden_size": _WIDTH,
            "intermediate_size": 2 * _WIDTH,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "hidden_act": "silu",
            "max_position_embeddings": 262144,
            "rms_norm_eps": 1e-06,
            "rope_theta": 5000000,
            "rope_scaling": {"rope_type": "default", "mrope_interleaved": True, "mrope_section": [2, 1, 1]},
            "tie_word_embeddings": True,
            "bos_token_id": tokens["<|endoftext|>"],
            "eos_token_id": tokens["<|im_end|>"],
        },
        "vision_config": {
            "model_type": "qwen3_vl",
            "depth": 2,
            "hidden_size": _WIDTH,
            "intermediate_size": 2 * _WIDTH,
            "deepstack_visual_indexes": [0, 1],
            "num_heads": 2,
            "out_hidden_size": _WIDTH,
            "hidden_act": "gelu_pytorch_tanh",
            "in_channels": 3,
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "num_position_embeddings": 64,
        },
    }


_SCHEDULER = {
    "_class_name": "FlowMatchEulerDiscreteScheduler",
    "_diffusers_version": "0.35.0.dev0",
    "base_image_seq_len": 256,
    "base_shift": 0.5,
    "invert_sigmas": False,
    "max_image_seq_len": 8192,
    "max_shift": 0.9,
    "num_train_timesteps": 1000,
    "shift": 1.0,
    "shift_terminal": 0.02,
    "stochastic_sampling": False,
    "time_shift_type": "exponential",
    "use_beta_sigmas": False,
    "use_dynamic_shifting": True,
    "use_exponential_sigmas": False,
    "use_karras_sigmas": False,
}


def _vae(**settings: Any) -> Any:
    from diffusers import AutoencoderKLQwenImage

    # The 16 means and deviations of the latents are the class's defaults.
    return AutoencoderKLQwenImage(
        base_dim=4, z_dim=16, dim_mult=[1, 2, 2, 2], num_res_blocks=1, temperal_downsample=[False, True, True], **settings
    )


def _transformer(**settings: Any) -> Any:
    from diffusers import QwenImageTransformer2DModel

    return QwenImageTransformer2DModel(
        patch_size=2,
        in_channels=64,
        out_channels=16,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=_WIDTH,
        guidance_embeds=False,
        axes_dims_rope=(4, 6, 6),
        **settings,
    )
