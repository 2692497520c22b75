"""The transformer of the small Wan and its UMT5, trained together by flow matching on the latents of clips."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advanced_models.demo.clips import WORDINGS, clip_caption, clips
from advanced_models.demo.tokenizers import write_t5_tokenizer

from .clip_latents import CHANNELS, Components, drawn
from .loop import train

if TYPE_CHECKING:
    import torch

BATCH = 32
CLIPS = 20_000
_TEXT_TOKENS = 16
"""Longest caption, its end, and padding."""
_ALL_TEXT_TOKENS = 512
"""WanPipeline puts zeros behind a prompt's states up to so many."""
_TOKENS = 12
"""Of latents: three frames of 2x2 patches."""
_WIDTH, _TEXT_WIDTH = 192, 64
_SHARE_FROM_IMAGE = 0.5
_SHARE_UNPROMPTED = 0.1
_PLACES_WEIGHT = 0.1
_PADDING_FROM = 0.25
"""The share of the steps after which all padding is there. Among 500 keys of padding a text of 12 tokens is hard to find at first."""
_IMAGE_NOISE = 0.03
"""Deviation of noise on a kept first frame, which no encoder gives exactly."""


def train_flow(components: Components, folder: Path, steps: int, log: Path) -> tuple[Any, Any]:
    """Train on clips of the combinations that are not held out; writes the tokenizer into `folder`. Gives transformer and UMT5.

    Half of the clips are made from their first frame, as TI2V-5B does it: the frame's latents are given, and its timestep is 0.
    """
    import torch
    from transformers import AutoTokenizer

    torch.manual_seed(44)
    rng = random.Random(45)
    shown = clips(CLIPS, rng, unseen=False)
    captions = ["", *(clip_caption(clip, wording) for clip in shown for wording in range(WORDINGS))]
    known = sorted({word for text in captions for word in text.split()})
    vocabulary = write_t5_tokenizer(folder / "tokenizer", captions[1:2001], known)
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    texts = tokenizer(captions, padding="max_length", max_length=_TEXT_TOKENS, return_tensors="pt")
    if int(texts.attention_mask.sum(1).max()) >= _TEXT_TOKENS:
        raise ValueError("a caption leaves no room for padding")
    transformer, umt5 = new_networks(vocabulary)
    padding, places = Padding(transformer), Places(transformer)
    latents = torch.cat([components.latents(drawn(shown[start : start + 500], rng)) for start in range(0, CLIPS, 500)])

    def loss_of_step() -> torch.Tensor:
        rows = torch.randint(CLIPS, (BATCH,))
        prompts = 1 + rows * WORDINGS + torch.randint(WORDINGS, (BATCH,))
        prompts[torch.rand(BATCH) < _SHARE_UNPROMPTED] = 0
        mask = texts.attention_mask[prompts]
        states = umt5(texts.input_ids[prompts], attention_mask=mask).last_hidden_state * mask[..., None]
        return flow_loss(transformer, latents[rows], states) + _PLACES_WEIGHT * places.loss()

    trained = [*umt5.parameters(), *transformer.parameters(), *places.head.parameters()]
    train(
        trained,
        loss_of_step,
        steps=steps,
        rate=1.5e-3,
        betas=(0.9, 0.98),
        hold=0.3,
        log=log,
        before_step=lambda done: padding.count(min(1.0, done / _PADDING_FROM)),
    )
    return transformer, umt5


def flow_loss(transformer: Any, clean: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    """The loss of rectified flow, for latents [B, 48, 3, 4, 4] and UMT5's states [B, 16, 64]."""
    import torch

    count = len(clean)
    time = torch.sigmoid(torch.randn(count) * 1.2 + 0.3)
    shares = time[:, None].repeat(1, clean.shape[2])
    given = torch.rand(count) < _SHARE_FROM_IMAGE
    shares[given, 0] = 0
    share = shares[:, None, :, None, None]
    noise = torch.randn_like(clean)
    noised = (1 - share) * clean + share * noise
    noised[given, :, 0] += _IMAGE_NOISE * torch.randn_like(noised[given, :, 0])
    tokens_of_frame = clean.shape[3] * clean.shape[4] // 4
    predicted = transformer(
        hidden_states=noised,
        timestep=shares.repeat_interleave(tokens_of_frame, dim=1) * 1000,
        encoder_hidden_states=states,
        return_dict=False,
    )[0]
    error = ((predicted - (noise - clean)) ** 2).mean((1, 3, 4))
    return error[shares > 0].mean()


def new_networks(vocabulary: int) -> tuple[Any, Any]:
    """Networks of Wan 2.2 TI2V-5B's classes, narrow; the transformer begins by predicting nothing."""
    import torch
    from diffusers import WanTransformer3DModel
    from transformers import UMT5Config, UMT5EncoderModel

    options: dict[str, Any] = {"d_model": _TEXT_WIDTH, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4, "dropout_rate": 0.0}
    umt5 = UMT5EncoderModel(UMT5Config(vocab_size=vocabulary, feed_forward_proj="gated-gelu", tie_word_embeddings=False, **options))
    transformer = WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=6,
        attention_head_dim=_WIDTH // 6,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        text_dim=_TEXT_WIDTH,
        freq_dim=128,
        ffn_dim=512,
        num_layers=5,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        rope_max_seq_len=1024,
    )
    with torch.no_grad():
        umt5.shared.weight.normal_(0, 1.0)
        for block in transformer.blocks:
            # Shift, scale and gate of the attention, then of the feed-forward layer: near the identity, the gates half open.
            block.scale_shift_table.zero_()
            block.scale_shift_table[:, [2, 5]] = 0.5
        torch.nn.init.normal_(transformer.condition_embedder.time_proj.weight, std=0.02)
        torch.nn.init.zeros_(transformer.condition_embedder.time_proj.bias)
        transformer.proj_out.weight.zero_()
        transformer.proj_out.bias.zero_()
    return transformer, umt5


class Padding:
    """Makes the last text token, which is padding, count in attention as all the padding that the pipeline puts there.

    Nothing masks that, and N equal keys add log N to the score of one.
    """

    def __init__(self, transformer: Any) -> None:
        import torch
        from diffusers.models.transformers.transformer_wan import WanAttnProcessor

        bias = torch.zeros(1, 1, 1, _TEXT_TOKENS)

        class Padded(WanAttnProcessor):  # type: ignore[misc]
            def __call__(self, attn: Any, states: Any, text: Any = None, attention_mask: Any = None, rotary_emb: Any = None) -> Any:
                return super().__call__(attn, states, text, bias, rotary_emb)

        for block in transformer.blocks:
            block.attn2.set_processor(Padded())
        self._bias = bias
        self.count(1.0)

    def count(self, share: float) -> None:
        """Take the logarithm of the padding's number times `share`."""
        self._bias[..., -1] = share * math.log(_ALL_TEXT_TOKENS - _TEXT_TOKENS + 1)


class Places:
    """A head on the second block that says where and when a token is, thrown away after training.

    Wan's positions are relative. In pure noise a token finds its own by seeing which neighbours it has; asked for it outright, the
    transformer learns that in a hundred steps.
    """

    def __init__(self, transformer: Any) -> None:
        import torch

        self.head = torch.nn.Sequential(torch.nn.LayerNorm(_WIDTH), torch.nn.Linear(_WIDTH, _TOKENS))
        self._states: torch.Tensor | None = None
        transformer.blocks[1].register_forward_hook(self._keep)

    def _keep(self, _block: Any, _arguments: Any, states: torch.Tensor) -> None:
        self._states = states

    def loss(self) -> torch.Tensor:
        """Cross-entropy of the places in the transformer's last pass."""
        import torch

        assert self._states is not None
        places = torch.arange(_TOKENS).expand(len(self._states), -1)
        return torch.nn.functional.cross_entropy(self.head(self._states).flatten(0, 1), places.flatten())
