"""What a Wan transformer is made for, read from its handle and the configs: nothing here needs the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..loaders.component import select_component
from ..loaders.registry import load_registry
from ..loaders.sources import read_config, read_model_index

if TYPE_CHECKING:
    from ..loaders.component import Component
    from ..loaders.schema import Model

_PIPELINES = frozenset({"WanPipeline", "WanImageToVideoPipeline", "WanVideoToVideoPipeline"})
_CHANNELS_OF_22 = 48


@dataclass(frozen=True)
class WanTransformer:
    """The transformer of a Wan model; of Wan 2.2 A14B both experts, the high-noise one first."""

    transformer: Component
    transformer_2: Component | None = None

    @property
    def model_entry(self) -> Model:
        """What the registry says of the model."""
        return self.transformer.model_entry

    @property
    def components(self) -> tuple[Component, ...]:
        """The handles of the weights, in the order in which they work."""
        return (self.transformer,) if self.transformer_2 is None else (self.transformer, self.transformer_2)


@dataclass(frozen=True)
class Layout:
    """How a Wan model's latents, conditions and schedule are laid out."""

    in_channels: int
    latent_channels: int
    text_width: int
    clip_width: int | None
    """Width of the CLIP states that the transformer reads, or None where it reads none (all but Wan 2.1 from image)."""
    two_images: bool
    """Whether the CLIP states are those of a first and a last image (FLF2V)."""
    boundary_ratio: float | None
    """The part of the schedule below which the second expert works."""
    expand_timesteps: bool
    """Whether every latent token has a timestep of its own (TI2V-5B)."""
    spatial: int
    """Pixels per latent, along each side."""
    temporal: int
    """Frames per latent frame, after the first."""
    patch: int
    vae_config: dict[str, Any]

    @property
    def size_multiple(self) -> int:
        """Width and height are multiples of this many pixels."""
        return self.spatial * self.patch

    @property
    def reads_image(self) -> bool:
        """Whether the transformer reads an image's latents and mask beside the ones that it denoises."""
        return self.in_channels != self.latent_channels

    @property
    def latent_format(self) -> str:
        """The name of the latent format for previews."""
        return "wan22" if self.latent_channels == _CHANNELS_OF_22 else "wan21"


def layout_of(wan: WanTransformer) -> Layout:
    """The layout of a model, from its configs; `model_index.json` counts before the registry, as it does in the whole pipeline."""
    config = read_config(wan.transformer)
    vae_config = read_config(wan.transformer.sibling("vae"))
    index = read_model_index(wan.transformer)
    ratio = None
    if wan.transformer_2 is not None:
        ratio = index.get("boundary_ratio", wan.model_entry.defaults.boundary_ratio)
    return Layout(
        in_channels=config["in_channels"],
        latent_channels=config["out_channels"],
        text_width=config["text_dim"],
        clip_width=config.get("image_dim"),
        two_images=config.get("pos_embed_seq_len") is not None,
        boundary_ratio=ratio,
        # TI2V-5B is the one model that denoises the latents of the 2.2 VAE.
        expand_timesteps=index.get("expand_timesteps", config["out_channels"] == _CHANNELS_OF_22),
        spatial=spatial_factor(vae_config),
        temporal=temporal_factor(vae_config),
        patch=config["patch_size"][1],
        vae_config=vae_config,
    )


def spatial_factor(vae_config: dict[str, Any]) -> int:
    """Pixels per latent; the config of the 2.1 VAE leaves out what is the class's default."""
    return int(vae_config.get("scale_factor_spatial", 8))


def temporal_factor(vae_config: dict[str, Any]) -> int:
    """Frames per latent frame, after the first."""
    return int(vae_config.get("scale_factor_temporal", 4))


def known_models() -> list[Model]:
    """The models that these pipelines run; others of the architecture (VACE, Animate) take conditions of their own."""
    return [model for model in load_registry().models_of("wan") if _PIPELINES.issuperset(model.pipelines.values())]


def known_vaes() -> dict[str, Model]:
    """Component id of each Wan VAE -> the first model that has it."""
    vaes: dict[str, Model] = {}
    for model in known_models():
        vaes.setdefault(model.components["vae"], model)
    return vaes


def vae_for(latent_channels: int) -> str | None:
    """The id of the VAE that makes latents of so many channels."""
    for component_id, model in known_vaes().items():
        if read_config(select_component(model.id, "vae"))["z_dim"] == latent_channels:
            return component_id
    return None
