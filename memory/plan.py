"""Choosing precision, placement and tiling for every part of a graph so that it fits the machine: the best first.

Every combination of a few groups is looked at (denoisers, text encoders, VAEs each share a choice), with all figures of one part computed
beforehand, so that a search takes milliseconds. Plans are ordered by time, made worse by the quality they lose. Times are modelled from
public figures and assumed speeds (below), for ordering alone: no card was measured. Whether a plan fits does not depend on them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from ..loaders.precision import QUANTISED
from ..loaders.registry import load_registry
from .estimate import blocks_of_share, component_config, estimate, forget_computations
from .estimate_features import VIDEO_VAES, image_tokens
from .estimate_values import Libraries, StageEstimate
from .plan_options import Figures, Option, combinations, worthwhile
from .plan_values import Backends, Choice, Machine, Part, Pin, Plan, StageNeed, Wishes, compatible
from .weights import WeightPrecision, weight_bytes

QUALITY_LOST: Mapping[str, float] = {"bf16": 0.0, "fp16": 0.0, "fp32": 0.0, "fp8": 0.015, "int8": 0.01, "nf4": 0.05, "gguf": 0.0}
"""How much worse pictures get, on a scale on which 1 doubles the patience a plan has to be worth. A judgement, not a measurement."""
SLOWDOWN: Mapping[str, float] = {"bf16": 1.0, "fp16": 1.0, "fp32": 2.0, "fp8": 1.08, "int8": 2.2, "nf4": 1.05, "gguf": 1.2}
"""Step time against bf16; fp8, int8, nf4 from the HF dataset derekl35/diffusers-quantization-benchmarks (H100), gguf assumed."""
_TILES_SLOWDOWN = 1.3
_TILES_LOST = 0.002
_VAE_HALF_LOST = 0.005
_TEXT_SHARE = 0.3
"""How much of a quantised text encoder's loss is seen, against the denoiser's."""
_STREAM_BANDWIDTH = 12.7e9
"""Bytes a second from main memory to the card: diffusers' published group offload of FLUX (23.8 GB in 1.88 s)."""
_COPY_BANDWIDTH = 6e9
"""The same for whole models from pageable memory: assumed half of it."""
_DEVICE_SPEED = 60e12
_CPU_SPEED = 0.3e12
"""Operations a second in bf16, assumed."""
_QUANTISED: tuple[WeightPrecision, ...] = ("fp8", "int8", "nf4")


def as_it_is(parts: Sequence[Part], backends: Backends, libraries: Libraries | None = None) -> Plan:
    """The graph unchanged: every part on the card while its stage runs, or on the CPU where the graph says so."""
    libraries = libraries or Libraries.installed()
    chosen = [_figures(part, _own_choice(part), backends, libraries) for part in parts]
    return _plan(parts, chosen)


def plans(
    parts: Sequence[Part],
    machine: Machine,
    *,
    backends: Backends | None = None,
    wishes: Wishes | None = None,
    libraries: Libraries | None = None,
) -> list[Plan]:
    """Plans that fit the machine, those that can be executed first, each kind with the best first; at most a few of each."""
    backends = backends or Backends.of_the_loaders()
    wishes = wishes or Wishes()
    libraries = libraries or Libraries.installed()
    options = [worthwhile(group) for group in _options(parts, backends, wishes, libraries)]
    found = sorted(combinations(options, machine), key=Option.order)
    shown = [option for option in found if not option.missing][:_SHOWN] + [option for option in found if option.missing][:_SHOWN]
    return [plan_of(parts, option) for option in shown]


def fits(parts: Sequence[Part], machine: Machine, *, backends: Backends, wishes: Wishes, libraries: Libraries) -> bool:
    """Whether there is a plan that fits the machine and can be executed."""
    options = executable_options(parts, backends, wishes, libraries)
    free_of_cost = [worthwhile(option._replace(seconds=0.0, lost=0.0) for option in group) for group in options]
    return bool(combinations(free_of_cost, machine))


def executable_options(parts: Sequence[Part], backends: Backends, wishes: Wishes, libraries: Libraries) -> list[list[Option]]:
    """For each group of parts the choices that can be executed, but for those that are worse in every respect."""
    return [worthwhile(option for option in group if not option.missing) for group in _options(parts, backends, wishes, libraries)]


def plan_of(parts: Sequence[Part], option: Option) -> Plan:
    """The plan that a combination of choices for all parts is."""
    return _plan(parts, [dict(option.members)[part.name] for part in parts])


_SHOWN = 8


def best(found: Sequence[Plan]) -> Plan | None:
    """The best plan that can be executed, else the best one."""
    return found[0] if found else None


def _own_choice(part: Part) -> Choice:
    return Choice(part.precision, "cpu" if part.on_cpu else "offload_model", 0 if part.tiled else None)


def _groups(parts: Sequence[Part], wishes: Wishes) -> list[list[str]]:
    """Names of the parts that share a choice."""
    groups: dict[str, list[str]] = {}
    for part in parts:
        groups.setdefault(f"{part.kind} {part.name if part.name in wishes.pinned else ''}", []).append(part.name)
    return list(groups.values())


def _options(parts: Sequence[Part], backends: Backends, wishes: Wishes, libraries: Libraries) -> list[list[Option]]:
    """For each group of parts, every choice that could be made for it."""

    def figures(part: Part, choice: Choice, pin: Pin | None) -> Figures:
        return _figures(part, choice if pin else _own(part, choice), backends, libraries)

    result = []
    for names in _groups(parts, wishes):
        members = [part for part in parts if part.name in names]
        pin = wishes.pinned.get(names[0])
        choices = [choice for choice in _choices(members, wishes, pin or Pin()) if pin is None or pin.allows(choice)]
        result.append([Option.of({part.name: figures(part, choice, pin) for part in members}) for choice in choices])
    return result


def _own(part: Part, choice: Choice) -> Choice:
    """The group's choice for one of its members: what is small keeps its precision and moves as a whole."""
    if weight_bytes(part.component, "bf16") > _SMALL:
        return choice
    placement = "offload_model" if choice.placement == "offload_group" else choice.placement
    return Choice(part.precision, placement, choice.tile)


_SMALL = 2 * 10**9
_PICTURE_TILE = 512
"""Pixels of a tile of the VAEs whose own tile is as large as most pictures."""
_RESIDENT_SHARES = (0.25, 0.5, 0.75)
"""Of the blocks' weights, tried where blocks are streamed."""


def _choices(members: Sequence[Part], wishes: Wishes, pin: Pin) -> Iterator[Choice]:
    kind, precision = members[0].kind, pin.precision or members[0].precision
    if kind == "vae":
        held: list[WeightPrecision] = [precision, "bf16"] if precision == "fp32" and not pin.precision else [precision]
        own = load_registry().component(members[0].component).class_name in VIDEO_VAES
        tiles: list[int | None] = [0] if members[0].tiled else [None, 0 if own else _PICTURE_TILE]
        yield from (Choice(p, place, tile) for p in held for tile in tiles for place in ("resident", "offload_model"))  # type: ignore[arg-type]
        return
    held = [precision]
    if precision == "fp32" and kind != "image_encoder" and not pin.precision:
        held.append("bf16")
    if not pin.precision and not wishes.forbid_quantisation and kind != "image_encoder" and precision not in QUANTISED:
        held += [name for name in _QUANTISED if name not in held]
    places = ["resident", "offload_model", "offload_group"]
    if kind in ("text_encoder", "image_encoder"):
        places.append("cpu")
    if members[0].on_cpu:
        places = ["cpu"]
    yield from (Choice(p, place) for p in held for place in places if compatible(p, place))  # type: ignore[arg-type]
    if kind == "denoiser":
        for name in held:
            if compatible(name, "offload_group"):
                counts = {min(blocks_of_share(part.component, name, share) for part in members) for share in _RESIDENT_SHARES}
                yield from (Choice(name, "offload_group", resident_blocks=count) for count in sorted(counts) if count)


def _figures(part: Part, choice: Choice, backends: Backends, libraries: Libraries) -> Figures:
    return _known_figures(part, choice, backends, libraries, id(load_registry()))


@lru_cache(maxsize=8192)
def _known_figures(part: Part, choice: Choice, backends: Backends, libraries: Libraries, _registry: int) -> Figures:
    """Kept for each state of the registry: a preflight asks for the same figures for several machines and sizes."""
    size = part.size if part.size is not None and choice.precision == part.precision else None
    estimates: list[StageEstimate] = []
    for stage, workload in part.stages:
        estimates.append(
            estimate(
                part.component,
                stage,
                workload,
                precision=choice.precision,
                placement=choice.placement,
                tile=choice.tile,
                resident_blocks=choice.resident_blocks,
                libraries=libraries,
            )
        )
    whole = part.beside + (size or weight_bytes(part.component, choice.precision, libraries.weight_rules))
    scale = 1.0 if size is None else size / weight_bytes(part.component, choice.precision, libraries.weight_rules)
    between = 0
    if choice.placement == "resident":
        between = part.beside + int((estimates[0].weights + estimates[0].gaps) * scale) if estimates else whole
    stages = tuple((e.stage, part.beside + int((e.weights + e.gaps) * scale), e.minimum_activations, e.total("reserve")) for e in estimates)
    streamed = whole
    if choice.placement == "offload_group" and estimates:
        streamed = max(0, whole - estimates[0].weights)
    seconds, lost = _price(part, choice, whole, streamed)
    kept = moved = 0
    if choice.placement == "cpu" or (choice.placement in ("offload_model", "offload_group") and choice.precision in _QUANTISED):
        kept = whole
    elif choice.placement == "offload_group":
        kept = streamed
    elif load_registry().component(part.component).stored_dtype != choice.precision and size is None:
        moved = whole
    return Figures(choice, between, stages, kept, moved, seconds, lost, tuple(backends.missing(choice, part)))


def forget_figures() -> None:
    """Drop the figures kept from earlier searches."""
    _known_figures.cache_clear()
    forget_computations()


def _host(chosen: Sequence[Figures]) -> int:
    """The most main memory at once: what is kept there, and the largest part that is converted (the store drops the others if it must)."""
    return sum(figures.host_kept for figures in chosen) + max((figures.host_moved for figures in chosen), default=0)


def _price(part: Part, choice: Choice, whole: int, streamed: int) -> tuple[float, float]:
    """Modelled seconds in one run, and the quality lost; `streamed` bytes of the weights come to the card in every step."""
    entry = load_registry().component(part.component)
    workload = part.workload
    lost = QUALITY_LOST[choice.precision] - QUALITY_LOST[part.precision]
    if part.kind == "vae":
        compute = 1.0 * len(part.stages) * (_TILES_SLOWDOWN if choice.tile is not None else 1.0)
        lost = (_TILES_LOST if choice.tile is not None else 0.0) + (_VAE_HALF_LOST if choice.precision != part.precision else 0.0)
    else:
        tokens = workload.text_tokens
        if part.kind == "denoiser":
            tokens += image_tokens(entry.class_name, component_config(part.component), workload)
        speed = _CPU_SPEED if choice.placement == "cpu" else _DEVICE_SPEED
        compute = 2 * entry.parameters * tokens * workload.rows / speed * SLOWDOWN[choice.precision]
        if part.kind != "denoiser":
            lost *= _TEXT_SHARE
    seconds = compute * part.runs
    if choice.placement == "offload_group":
        transfer = streamed / _STREAM_BANDWIDTH
        seconds = (max(compute, transfer) + 0.15 * min(compute, transfer)) * part.runs + (whole - streamed) / _COPY_BANDWIDTH
    elif choice.placement == "offload_model":
        seconds += whole / _COPY_BANDWIDTH
    return seconds, max(lost, 0.0)


def _plan(parts: Sequence[Part], chosen: Sequence[Figures]) -> Plan:
    between = sum(figures.between for figures in chosen)
    needs = [
        StageNeed(stage, part.name, between - figures.between + weights + least + reserve, between - figures.between + weights, least)
        for part, figures in zip(parts, chosen, strict=True)
        for stage, weights, least, reserve in figures.stages
        if figures.choice.placement != "cpu"
    ]
    return Plan(
        choices={part.name: figures.choice for part, figures in zip(parts, chosen, strict=True)},
        needs=tuple(needs),
        host=_host(chosen),
        seconds=sum(figures.seconds for figures in chosen),
        quality_lost=sum(figures.lost for figures in chosen),
        missing=tuple(dict.fromkeys(name for figures in chosen for name in figures.missing)),
    )
