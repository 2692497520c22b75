"""Reading a graph for its models and sizes: loaders to components, samplers to what they make. Nothing is executed or loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from ..errors import UserError
from ..loaders.as_stored import stored_weights
from ..loaders.registry import load_registry
from ..loaders.schema import Model
from ..workflows.prompt import Link, Node, Prompt
from .estimate_values import Workload
from .preflight_files import KnownFile, identify, published
from .preflight_handles import handle_of, named_precision
from .preflight_loras import LoraUse
from .preflight_native import FILE_INPUTS, FRAME_INPUTS, SAMPLERS, UNCOUNTED_FILES
from .preflight_numbers import node_class, stated_area, stated_number, stated_size

OUR_LOADERS = frozenset({"FluxLoader", "WanLoader", "QwenImageLoader", "QwenVLLoader"})
OUR_SAMPLERS: Mapping[str, tuple[str, str]] = {
    "FluxDenoise": ("transformer", "latent"),
    "WanDenoise": ("transformer", "latent"),
    "QwenImageDenoise": ("transformer", "latent"),
}


@dataclass(frozen=True)
class Loaded:
    """One component that a loader of the graph names."""

    node: str
    role: str
    component: str
    model: str | None
    precision: str | None
    """What the node asks for; None for what the file holds."""
    output: int | None = None
    """The output of the loader that hands it on; None where one output holds several."""
    size: int | None = None
    """Bytes of the weights as the file's name states them."""
    tiled: bool = False
    on_cpu: bool = False
    picked: bool = False
    """Whether it takes the place of the loaders' own component of its socket."""
    file: KnownFile | None = None
    """The file of a ComfyUI folder that holds it; None where our loaders look for it."""
    chosen: bool = False
    """Whether the node names the precision, rather than `auto`."""


@dataclass
class GraphFacts:
    """What a graph says of its models."""

    loaded: list[Loaded] = field(default_factory=list)
    files: list[KnownFile] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    """Model files whose names are not known."""
    uncounted: dict[str, int | None] = field(default_factory=dict)
    """Other files of weights that native nodes name (LoRAs, control networks, upscalers), with their bytes where they were published."""
    models: list[Model] = field(default_factory=list)
    native: bool = False
    """Whether ComfyUI's own loaders take part."""
    runs: list[Run] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    loras: list[LoraUse] = field(default_factory=list)
    encodes_pictures: bool = False
    encodes_clips: bool = False
    """Whether something else than a start image is encoded."""
    pictures: int = 0
    """Pictures that a prompt encoder or a language model sees."""


@dataclass(frozen=True)
class Run:
    """One sampler: the loaders that its model comes from, and what it makes."""

    node: str
    loaders: frozenset[str]
    workload: Workload | None
    """None when the graph alone does not tell the size; 0 frames when it does not tell their number."""
    steps: int | None
    guidance: float | None


def read_graph(prompt: Prompt) -> GraphFacts:
    """The models and sizes of a graph."""
    facts = GraphFacts()
    for node in prompt.nodes.values():
        kind = node_class(node)
        if kind in OUR_LOADERS:
            _our_loader(node, facts)
        elif kind == "TextEncoderPicker":
            _picker(node, facts)
        elif kind == "WanVAELoader":
            _our_vae(node, facts)
        elif kind in FILE_INPUTS:
            _native_loader(node, FILE_INPUTS[kind], facts)
        elif kind in UNCOUNTED_FILES:
            name, folder = UNCOUNTED_FILES[kind]
            if isinstance(file := node.inputs.get(name), str):
                size, _ = published(file, folder) or (None, None)
                facts.uncounted[file] = size
        starts = kind == "WanImageEncode" or "start_image" in node.inputs
        if starts or kind in ("VAEEncode", "VAEEncodeForInpaint", "FluxEncode", "WanEncode", "QwenImageEncode"):
            facts.encodes_pictures = True
            facts.encodes_clips |= not starts
        shown = sum(
            isinstance(node.inputs.get(name), Link) for name in ("image", "image1", "image2", "image3", "image_1", "image_2", "image_3")
        )
        if shown and ("TextEncodeQwenImageEdit" in kind or kind in ("QwenImagePromptEncode", "QwenVLChat")):
            facts.pictures = max(facts.pictures, shown)
            facts.encodes_pictures |= kind != "QwenVLChat"
        if kind == "QwenVLChat" and isinstance(node.inputs.get("images"), Link):
            facts.pictures = max(facts.pictures, 1)
        if kind == "LoRALoader" and node.inputs.get("lora") not in (None, "none") and node.inputs.get("strength") != 0:
            low_noise = str(node.inputs.get("low_noise_lora", "none"))
            own = _loaders(prompt, node, "transformer")
            facts.loras.append(LoraUse(own, str(node.inputs["lora"]), "" if low_noise == "none" else low_noise))
    for node in prompt.nodes.values():
        inputs = OUR_SAMPLERS.get(node_class(node)) or SAMPLERS.get(node_class(node))
        if inputs is not None:
            facts.runs.append(_run(prompt, node, *inputs))
    return facts


def _our_loader(node: Node, facts: GraphFacts) -> None:
    name = node.inputs.get("model")
    if not isinstance(name, str):
        facts.notes.append(f"{node.heading}: which model it loads is decided by another node.")
        return
    try:
        model = load_registry().model(name)
    except UserError as error:
        facts.unknown.append(name)
        facts.notes.append(f"{node.heading}: {error}")
        return
    facts.models.append(model)
    chosen = named_precision(node)
    for role, entry in model.entries.items():
        if entry.parameters:
            follows = chosen is not None and role.startswith(("transformer", "text_encoder", "model"))
            handle = handle_of(node, model.id, role)
            stored = stored_weights(handle) if handle is not None else None
            held, size = stored or (chosen if follows else entry.compute_dtype, None)
            facts.loaded.append(Loaded(node.id, role, entry.id, model.id, held, size=size, chosen=follows))


def _our_vae(node: Node, facts: GraphFacts) -> None:
    name = node.inputs.get("vae")
    component = load_registry().components.get(str(name))
    if component is None:
        facts.unknown.append(str(name))
        return
    chosen, tiled = named_precision(node), bool(node.inputs.get("tiling"))
    facts.loaded.append(
        Loaded(node.id, "vae", component.id, None, chosen or component.compute_dtype, tiled=tiled, chosen=chosen is not None)
    )


def _picker(node: Node, facts: GraphFacts) -> None:
    from ..nodes.text_encoders import encoders_of  # nodes import this package

    role, encoder = node.inputs.get("role"), node.inputs.get("encoder", "auto")
    try:
        name = encoders_of(str(role))[0] if encoder == "auto" else str(encoder)
        component = load_registry().component(name)
    except (KeyError, UserError):
        facts.unknown.append(f"{role}: {encoder}")
        return
    chosen, on_cpu = named_precision(node), node.inputs.get("device") == "cpu"
    precision = chosen or component.compute_dtype
    facts.loaded.append(
        Loaded(node.id, "text_encoder", component.id, None, precision, on_cpu=on_cpu, picked=True, chosen=chosen is not None)
    )


def _native_loader(node: Node, inputs: tuple[tuple[str, str], ...], facts: GraphFacts) -> None:
    facts.native = True
    for name, folder in inputs:
        file = node.inputs.get(name)
        if not isinstance(file, str) or not file:
            facts.notes.append(f"{node.heading}: the file of {name} is not told by the workflow.")
            continue
        known = identify(file, folder)
        if known is None:
            facts.unknown.append(file)
            continue
        facts.files.append(known)
        if known.model is not None:
            facts.models.append(load_registry().model(known.model))
        for role, component in known.components:
            facts.loaded.append(Loaded(node.id, role, component, known.model, None, size=known.size_of(component), file=known))


def _run(prompt: Prompt, node: Node, model_input: str, latent_input: str) -> Run:
    loaders = _loaders(prompt, node, model_input)
    latent = node.inputs.get(latent_input)
    workload = stated_size(prompt, node)
    if isinstance(latent, Link):
        linked = _linked_size(prompt, node, latent_input)
        workload = linked if linked is not None or node_class(node) in SAMPLERS else workload
    steps = stated_number(prompt, node.inputs.get("steps"))
    guidance = next((value for name in ("cfg", "true_cfg", "guidance") if isinstance(value := node.inputs.get(name), (int, float))), None)
    return Run(node.id, loaders, workload, steps or None, guidance)


def _loaders(prompt: Prompt, node: Node, model_input: str) -> frozenset[str]:
    return frozenset(found.id for found in _upstream(prompt, node, model_input) if _is_loader(found))


def _is_loader(node: Node) -> bool:
    return node_class(node) in OUR_LOADERS or node_class(node) in FILE_INPUTS


def _is_sampler(node: Node) -> bool:
    return node_class(node) in SAMPLERS or node_class(node) in OUR_SAMPLERS


def _upstream(prompt: Prompt, start: Node, name: str, *, across: bool = False) -> Iterator[Node]:
    """Nodes that an input depends on, nearest first; not beyond another sampler unless `across`."""
    link = start.inputs.get(name)
    waiting = [link.node] if isinstance(link, Link) else []
    seen = {start.id}
    while waiting:
        node = prompt.nodes.get(waiting.pop(0))
        if node is None or node.id in seen:
            continue
        seen.add(node.id)
        yield node
        if across or not _is_sampler(node):
            waiting += [link.node for _, link in node.links()]


def _linked_size(prompt: Prompt, node: Node, name: str) -> Workload | None:
    """The size of the nearest node upstream that states one; frames and batch may stand on a nearer node, whose size is linked itself."""
    frames = batch = 0
    for found in _upstream(prompt, node, name, across=True):
        size = stated_size(prompt, found) or stated_area(prompt, found)
        if size is not None:
            return replace(size, frames=frames or size.frames, batch=batch or size.batch)
        if "width" in found.inputs:
            frames = frames or next((value for key in FRAME_INPUTS if (value := stated_number(prompt, found.inputs.get(key)))), 0)
            batch = batch or stated_number(prompt, found.inputs.get("batch_size")) or 0
    return None


def larger(one: Workload, other: Workload) -> Workload:
    """The one of two workloads that takes more."""

    def volume(work: Workload) -> int:
        return work.width * work.height * work.frames * work.batch

    return replace(one if volume(one) >= volume(other) else other)
