"""The transformer of a small Wan and its UMT5, trained together by flow matching on the latents of clips."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advanced_models.demo.tokenizers import write_t5_tokenizer

from .clips import MOTIONS, clip_caption, clips, draw_clips
from .loop import train

if TYPE_CHECKING:
    import torch

BATCH = 16
CLIPS = 1_500
_TEXT_TOKENS = 512
"""WanPipeline puts zeros behind a prompt's states up to so many, and no mask keeps the transformer from seeing them."""
_WIDTH = 64


def train_flow(vae: Any, folder: Path, steps: int, log: Path) -> tuple[Any, Any]:
    """Train on clips of the combinations that are not held out; writes the tokenizer into `folder`. Gives transformer and UMT5."""
    import torch
    from torch.nn.functional import mse_loss, pad
    from transformers import AutoTokenizer

    torch.manual_seed(44)
    rng = random.Random(45)
    shown = clips(CLIPS, rng, unseen=False)
    captions = [clip_caption(clip) for clip in shown]
    known = {word for text in (*captions, *MOTIONS.values()) for word in text.split()}
    transformer, umt5 = new_networks(write_t5_tokenizer(folder / "tokenizer", captions[:2000], sorted(known)))
    texts = AutoTokenizer.from_pretrained(folder / "tokenizer")(captions, padding="longest", return_tensors="pt")
    latents = _latents(vae, shown, rng)

    def loss_of_step() -> torch.Tensor:
        rows = torch.randint(CLIPS, (BATCH,))
        mask = texts.attention_mask[rows]
        states = umt5(texts.input_ids[rows], attention_mask=mask).last_hidden_state * mask[..., None]
        clean = latents[rows]
        noise = torch.randn_like(clean)
        time = torch.sigmoid(torch.randn(BATCH) * 1.1 + 0.4)
        share = time[:, None, None, None, None]
        predicted = transformer(
            hidden_states=(1 - share) * clean + share * noise,
            timestep=time * 1000,
            encoder_hidden_states=pad(states, (0, 0, 0, _TEXT_TOKENS - states.shape[1])),
            return_dict=False,
        )[0]
        return mse_loss(predicted, noise - clean)

    train([*umt5.parameters(), *transformer.parameters()], loss_of_step, steps=steps, rate=1.5e-3, betas=(0.9, 0.98), hold=0.3, log=log)
    return transformer, umt5


def new_networks(vocabulary: int) -> tuple[Any, Any]:
    """Networks of Wan 2.1's classes, narrow; the transformer begins by predicting nothing."""
    import torch
    from diffusers import WanTransformer3DModel
    from transformers import UMT5Config, UMT5EncoderModel

    options: dict[str, Any] = {"d_model": _WIDTH, "d_kv": 16, "d_ff": 2 * _WIDTH, "num_layers": 2, "num_heads": 4, "dropout_rate": 0.0}
    umt5 = UMT5EncoderModel(UMT5Config(vocab_size=vocabulary, feed_forward_proj="gated-gelu", tie_word_embeddings=False, **options))
    transformer = WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=4,
        attention_head_dim=32,
        in_channels=16,
        out_channels=16,
        text_dim=_WIDTH,
        freq_dim=128,
        ffn_dim=384,
        num_layers=4,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        rope_max_seq_len=1024,
    )
    with torch.no_grad():
        umt5.shared.weight.normal_(0, 1.0)
        transformer.proj_out.weight.zero_()
        transformer.proj_out.bias.zero_()
    return transformer, umt5


def _latents(vae: Any, shown: list[Any], rng: random.Random) -> torch.Tensor:
    """Normalised latents of the clips: [N, 16, 3, 8, 8]."""
    import torch

    mean, deviation = (torch.tensor(values).reshape(1, -1, 1, 1, 1) for values in (vae.config.latents_mean, vae.config.latents_std))
    with torch.no_grad():
        parts = [draw_clips(shown[start : start + 20], rng) * 2 - 1 for start in range(0, len(shown), 20)]
        return torch.cat([(vae.encode(part).latent_dist.mean - mean) / deviation for part in parts])
