"""What an estimate is asked about, and what it answers: plain values, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Literal, get_args

from .weights import LibraryRules, WeightPrecision

Stage = Literal["encode", "denoise", "decode"]
"""Encode: prompts and pictures to what the transformer takes (also a language model reading its input). Decode: latents to pixels."""
STAGES: tuple[Stage, ...] = get_args(Stage)

AttentionKind = Literal["fused", "math"]
Allocator = Literal["native", "cuda_malloc_async"]

TermName = Literal["weights", "activations", "workspace", "scratch", "cache", "reserve"]


@dataclass(frozen=True)
class Workload:
    """What is made in one run, as far as memory depends on it."""

    width: int = 1024
    height: int = 1024
    """Pixels of the result; of the picture that is encoded, for a VAE's encode stage."""
    frames: int = 1
    batch: int = 1
    text_tokens: int = 512
    """Length of the prompt in tokens, padding included; of everything a language model reads, pictures' tokens apart."""
    reference_images: int = 0
    """Pictures that an editing model sees beside the one it makes, each taken as about one megapixel."""
    new_tokens: int = 0
    """Tokens that a language model writes."""
    doubled: bool = False
    """Whether guidance runs both prompts in one batch (Stable Diffusion); FLUX, Wan and Qwen-Image run one after the other."""

    @property
    def rows(self) -> int:
        """Entries of the batch that the denoiser sees."""
        return self.batch * (2 if self.doubled else 1)


@dataclass(frozen=True)
class Libraries:
    """What of the installed software changes memory."""

    torch: tuple[int, int, int] = (2, 10, 0)
    transformers: int = 5
    """Major version."""
    diffusers: tuple[int, int] = (0, 37)
    cudnn: int | None = None
    """As `torch.backends.cudnn.version()` counts: 91002 is 9.10.2. None: not known."""
    allocator: Allocator = "native"
    attention: AttentionKind = "fused"

    @classmethod
    def installed(cls) -> Libraries:
        """The versions in this environment, without importing them; the newest where one is missing."""
        newest = cls()
        return cls(
            torch=(_version("torch") or newest.torch),
            transformers=(_version("transformers") or (newest.transformers,))[0],
            diffusers=(_version("diffusers") or newest.diffusers)[:2],
        )

    @property
    def weight_rules(self) -> LibraryRules:
        """What they do to quantised weights."""
        return LibraryRules(fp32_beside_bitsandbytes=self.transformers < 5, casts_embeddings=self.diffusers >= (0, 37))

    @property
    def unfolds_conv3d(self) -> bool:
        """Whether a half-precision conv3d is computed by unfolding its input: torch 2.9.0, and 2.9.1 with cuDNN before 9.15."""
        if self.torch[:2] != (2, 9):
            return False
        return self.torch[2] == 0 or (self.cudnn is not None and self.cudnn < 91500)


@dataclass(frozen=True)
class Term:
    """One part of a need, in bytes: what is expected, the least and the most it may be, and why."""

    name: TermName
    expected: int
    low: int
    high: int
    reason: str

    @classmethod
    def exact(cls, name: TermName, size: int, reason: str) -> Term:
        return cls(name, size, size, size, reason)


@dataclass(frozen=True)
class StageEstimate:
    """What one stage needs on the device."""

    stage: Stage
    terms: tuple[Term, ...]
    reserved_activations: int
    """What the allocator reserves for activations and workspace together."""
    minimum_activations: int
    """Room beside the weights below which the allocator runs out of memory, though it gives its cache back."""
    gaps: int = 0
    """What the allocator reserves for the weights beyond their bytes."""

    def total(self, *names: TermName) -> int:
        """Bytes expected of the terms of these names."""
        return sum(term.expected for term in self.terms if term.name in names)

    @property
    def weights(self) -> int:
        return self.total("weights")

    @property
    def allocated(self) -> int:
        """Peak of what tensors hold (`torch.cuda.max_memory_allocated`)."""
        return sum(term.expected for term in self.terms if term.name != "reserve")

    @property
    def reserved(self) -> int:
        """Peak of what the allocator takes from the device when nothing limits it (`torch.cuda.max_memory_reserved`)."""
        return self.weights + self.gaps + self.reserved_activations

    @property
    def needed(self) -> int:
        """Bytes that have to be free on the device for the stage to run: weights with gaps, the allocator's minimum, and the reserve."""
        return self.weights + self.gaps + self.minimum_activations + self.total("reserve")

    @property
    def low(self) -> int:
        return sum(term.low for term in self.terms)

    @property
    def high(self) -> int:
        return max(sum(term.high for term in self.terms), self.reserved + self.total("reserve"))


def held_as(precision: WeightPrecision) -> str:
    """The layout of the activations' forms that a precision belongs to: bf16 and fp16 compute alike, and gguf dequantises a layer's whole
    weight for each call, as nf4 does."""
    return {"bf16": "half", "fp16": "half", "gguf": "nf4"}.get(precision, precision)


@cache
def _version(distribution: str) -> tuple[int, int, int] | None:
    try:
        parts = version(distribution).split("+")[0].split(".")[:3]
    except PackageNotFoundError:
        return None
    numbers = [int("".join(filter(str.isdigit, part)) or 0) for part in parts]
    major, minor, patch = (*numbers, 0, 0, 0)[:3]
    return major, minor, patch
