"""The transformer of the small FLUX and its two text encoders, trained together by flow matching on the VAE's latents."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advanced_models.demo.captions import any_caption, every_caption, whole_words
from advanced_models.demo.shapes import SIDE, draw, scenes, varied
from advanced_models.demo.tiny_flux import clip_encoder, t5_encoder
from advanced_models.demo.tokenizers import write_clip_tokenizer, write_t5_tokenizer

from .loop import train

if TYPE_CHECKING:
    import torch

BATCH = 64
PICTURES = 24_000
_CAPTIONS_EACH = 3
TEXT_TOKENS = 24
"""Longest caption with its end, and padding. FLUX sees 256 or 512; the rest of that padding is stood in for, see `_padding_bias`."""
_FURTHER_PADDING = (24, 488)
_WIDTH = 64
_MODULATIONS = ("norm.linear", "norm1.linear", "norm1_context.linear", "norm_out.linear")


@dataclass
class Networks:
    """What the flow is made of; all three are trained."""

    transformer: Any
    clip: Any
    t5: Any

    @property
    def parameters(self) -> list[torch.nn.Parameter]:
        return [p for network in (self.clip, self.t5, self.transformer) for p in network.parameters()]


def train_flow(vae: Any, folder: Path, steps: int, log: Path) -> Networks:
    """Train on pictures of the combinations that are not held out; writes the tokenizers into `folder`."""
    import torch
    from transformers import AutoTokenizer

    torch.manual_seed(2)
    rng = random.Random(3)
    sentences = random.Random(4).sample(every_caption(), 2000)
    clip_size = write_clip_tokenizer(folder / "tokenizer", sentences)
    t5_size = write_t5_tokenizer(folder / "tokenizer_2", sentences, whole_words())
    clip_tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    t5_tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer_2")
    networks = new_networks(clip_size, t5_size)

    chosen = scenes(PICTURES, rng, unseen=False)
    latents = packed(vae, chosen, rng)
    captions = [any_caption(scene, rng) for scene in chosen for _ in range(_CAPTIONS_EACH)]
    clip_ids = clip_tokenizer(captions, padding="longest", return_tensors="pt").input_ids
    t5_ids = t5_tokenizer(captions, padding="max_length", max_length=TEXT_TOKENS, return_tensors="pt").input_ids
    if int((t5_ids != t5_tokenizer.pad_token_id).sum(1).max()) > 16:
        raise ValueError("a caption is longer than the T5 encoder sees")

    def loss_of_step() -> torch.Tensor:
        rows = torch.randint(PICTURES, (BATCH,))
        texts = rows * _CAPTIONS_EACH + torch.randint(_CAPTIONS_EACH, (BATCH,))
        states = networks.t5(t5_ids[texts]).last_hidden_state
        return flow_loss(networks.transformer, latents[rows], states, networks.clip(clip_ids[texts]).pooler_output, rng)

    train(
        networks.parameters,
        loss_of_step,
        steps=steps,
        rate=1.5e-3,
        betas=(0.9, 0.98),
        hold=0.3,
        log=log,
        after_step=lambda: look_near(networks.t5),
    )
    look_near(networks.t5)
    return networks


def flow_loss(transformer: Any, clean: torch.Tensor, states: torch.Tensor, pooled: torch.Tensor, rng: random.Random) -> torch.Tensor:
    """The loss of rectified flow, for packed latents [B, 16, 64], T5's states [B, 24, width] and CLIP's pooled ones [B, width].

    As in FLUX, the network predicts noise minus latents at a point between them, the place drawn from a logit-normal distribution
    (Esser et al. 2024, arXiv:2403.03206, section 3.1).
    """
    import torch
    from torch.nn.functional import mse_loss

    noise = torch.randn_like(clean)
    time = torch.sigmoid(torch.randn(len(clean)) * 1.1 + 0.2)
    share = time[:, None, None]
    picture_ids, text_ids = _places()
    predicted = transformer(
        hidden_states=(1 - share) * clean + share * noise,
        timestep=time,
        encoder_hidden_states=states,
        pooled_projections=pooled,
        txt_ids=text_ids,
        img_ids=picture_ids,
        joint_attention_kwargs={"attention_mask": _padding_bias(rng)},
        return_dict=False,
    )[0]
    return mse_loss(predicted, noise - clean)


def new_networks(clip_size: int, t5_size: int) -> Networks:
    """Networks of FLUX.1 [schnell]'s classes, narrow; the transformer begins by predicting nothing."""
    import torch
    from diffusers import FluxTransformer2DModel

    clip = clip_encoder(clip_size, _WIDTH)
    t5 = t5_encoder(t5_size, _WIDTH, relative_attention_num_buckets=16, dropout_rate=0.0)
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=64,
        num_layers=2,
        num_single_layers=4,
        attention_head_dim=32,
        num_attention_heads=4,
        joint_attention_dim=_WIDTH,
        pooled_projection_dim=_WIDTH,
        guidance_embeds=False,
        axes_dims_rope=(8, 12, 12),
    )
    with torch.no_grad():
        # transformers begins with embeddings of 0.02, from which so small an encoder takes long to come away.
        clip.get_input_embeddings().weight.mul_(10)
        t5.shared.weight.normal_(0, 1.0)
        for name, module in transformer.named_modules():
            if isinstance(module, torch.nn.Linear) and name.endswith(
                ("norm.linear", "norm1.linear", "norm1_context.linear", "norm_out.linear")
            ):
                _open_gates(module, transformer.inner_dim)
        transformer.proj_out.weight.zero_()
        transformer.proj_out.bias.zero_()
    look_near(t5)
    return Networks(transformer, clip, t5)


def _open_gates(modulation: torch.nn.Linear, width: int) -> None:
    """Start a block's modulation near the identity with its gates a third open: shift, scale, gate, and the same for the MLP."""
    import torch

    torch.nn.init.normal_(modulation.weight, std=0.02)
    torch.nn.init.zeros_(modulation.bias)
    for gate in {6: (2, 5), 3: (2,)}.get(modulation.out_features // width, ()):
        modulation.bias[gate * width : (gate + 1) * width] = 0.3


def look_near(t5: Any) -> None:
    """Keep every token of the T5 encoder from looking farther than three tokens, so that a caption is encoded alike whatever padding
    follows it. Relative positions from 4 on share the upper half of each direction's buckets (T5Attention._relative_position_bucket)."""
    import torch

    with torch.no_grad():
        bias = t5.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight
        bias[[4, 5, 6, 7, 12, 13, 14, 15]] = -1e4


def packed(vae: Any, chosen: list[Any], rng: random.Random) -> torch.Tensor:
    """Normalised latents of the scenes as the transformer takes them: [N, 16, 64], 2x2 latents of 16 channels a token."""
    import torch
    from diffusers import FluxPipeline

    found = []
    with torch.no_grad():
        for start in range(0, len(chosen), 200):
            pictures = draw([varied(scene, rng) for scene in chosen[start : start + 200]]) * 2 - 1
            mean = vae.encode(pictures).latent_dist.mean
            normalised = (mean - vae.config.shift_factor) * vae.config.scaling_factor
            found.append(FluxPipeline._pack_latents(normalised, *normalised.shape))
    return torch.cat(found)


def _places() -> tuple[torch.Tensor, torch.Tensor]:
    """Positions of picture and text tokens, as FluxPipeline makes them."""
    import torch
    from diffusers import FluxPipeline

    side = SIDE // 16
    return FluxPipeline._prepare_latent_image_ids(1, side, side, "cpu", torch.float32), torch.zeros(TEXT_TOKENS, 3)


def _padding_bias(rng: random.Random) -> torch.Tensor:
    """An attention bias that makes the last padding token count as many: N equal keys add log N to the score of one."""
    import torch

    low, high = _FURTHER_PADDING
    mask = torch.zeros(1, 1, 1, TEXT_TOKENS + (SIDE // 16) ** 2)
    mask[..., TEXT_TOKENS - 1] = rng.uniform(math.log(low), math.log(high))
    return mask
