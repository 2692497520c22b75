"""Small FLUX.1 models: the classes, files, latent format and scheduler settings of FLUX.1 [dev] and [schnell]."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .text import write_json
from .tokenizers import write_clip_tokenizer, write_t5_tokenizer
from .weights import save_part

_WIDTH = 32

MODEL_INDEX = {
    "_class_name": "FluxPipeline",
    "_diffusers_version": "0.30.0.dev0",
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "text_encoder_2": ["transformers", "T5EncoderModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "tokenizer_2": ["transformers", "T5TokenizerFast"],
    "transformer": ["diffusers", "FluxTransformer2DModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


def build_flux(folder: Path, dtype: str, *, distilled_guidance: bool) -> None:
    """Write one into `folder`: with distilled guidance the layout of [dev], without it that of [schnell].

    The values that decide how the parts are used (scheduler, latent channels and scaling, special tokens) are those of
    the two repositories of black-forest-labs; only widths and depths are small.
    """
    write_json(folder / "model_index.json", MODEL_INDEX)
    write_json(folder / "scheduler" / "scheduler_config.json", scheduler_config(distilled_guidance=distilled_guidance))
    clip_vocabulary = write_clip_tokenizer(folder / "tokenizer")
    t5_vocabulary = write_t5_tokenizer(folder / "tokenizer_2")
    # The two models share their text encoders and their VAE, as the real ones do; the transformers differ.
    save_part(clip_encoder(clip_vocabulary), folder / "text_encoder", dtype, seed=1, prefix="text_model.")
    save_part(t5_encoder(t5_vocabulary), folder / "text_encoder_2", dtype, seed=2, sharded=True)
    save_part(_vae(), folder / "vae", dtype, seed=3)
    transformer = _transformer(distilled_guidance)
    save_part(transformer, folder / "transformer", dtype, seed=4 if distilled_guidance else 5, sharded=True)


def scheduler_config(*, distilled_guidance: bool) -> dict[str, Any]:
    """Of [dev] with distilled guidance, else of [schnell]."""
    return {
        "_class_name": "FlowMatchEulerDiscreteScheduler",
        "_diffusers_version": "0.30.0.dev0",
        "base_image_seq_len": 256,
        "base_shift": 0.5,
        "max_image_seq_len": 4096,
        "max_shift": 1.15,
        "num_train_timesteps": 1000,
        "shift": 3.0 if distilled_guidance else 1.0,
        "use_dynamic_shifting": distilled_guidance,
    }


def clip_encoder(vocabulary_size: int, width: int = _WIDTH) -> Any:
    """A small CLIP text encoder."""
    from transformers import CLIPTextConfig, CLIPTextModel

    # 0, 2 and 1 are what the real file says. They are not the tokenizer's ids: with eos_token_id 2 the model pools at
    # the highest id, the end.
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocabulary_size,
            hidden_size=width,
            projection_dim=width,
            intermediate_size=2 * width,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=77,
            hidden_act="quick_gelu",
            bos_token_id=0,
            eos_token_id=2,
            pad_token_id=1,
        )
    )


def t5_encoder(vocabulary_size: int, width: int = _WIDTH, **settings: Any) -> Any:
    """A small T5 v1.1 encoder (gated GELU, untied)."""
    from transformers import T5Config, T5EncoderModel

    options: dict[str, Any] = {
        "vocab_size": vocabulary_size,
        "d_model": width,
        "d_kv": width // 4,
        "d_ff": 2 * width,
        "num_layers": 2,
        "num_heads": 4,
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
    }
    return T5EncoderModel(T5Config(**options | settings))


def _vae() -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        latent_channels=16,
        norm_num_groups=4,
        sample_size=1024,
        use_quant_conv=False,
        use_post_quant_conv=False,
        scaling_factor=0.3611,
        shift_factor=0.1159,
    )


def _transformer(distilled_guidance: bool) -> Any:
    from diffusers import FluxTransformer2DModel

    return FluxTransformer2DModel(
        patch_size=1,
        in_channels=64,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=_WIDTH,
        pooled_projection_dim=_WIDTH,
        guidance_embeds=distilled_guidance,
        axes_dims_rope=(4, 6, 6),
    )
