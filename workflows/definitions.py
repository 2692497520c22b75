"""What a node class declares: inputs, their types and limits, outputs. The reader and the validator see classes through this."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_EDITED_TYPES = frozenset({"MARKDOWN", "TEXTAREA", "COLOR", "CURVE", "RANGE", "BOUNDING_BOX"})
WIDGET_TYPES = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}) | _EDITED_TYPES
"""Types that the page shows as a widget (front end 1.58, scripts/widgets.ts); every other type is a socket."""

_SEED_NAMES = frozenset({"seed", "noise_seed"})
_FALLBACKS: Mapping[str, Any] = {"INT": 0, "FLOAT": 0, "STRING": "", "BOOLEAN": False}


@dataclass(frozen=True)
class InputSpec:
    """One declared input."""

    name: str
    type: str
    """The socket type; `COMBO` for a choice from a list."""
    choices: tuple[Any, ...] | None
    options: Mapping[str, Any]
    required: bool

    @property
    def is_widget(self) -> bool:
        """Whether the page shows it as a widget, so that its value stands in the file when nothing is linked to it."""
        return (self.type in WIDGET_TYPES or "widgetType" in self.options) and not self.options.get("forceInput")

    @property
    def page_widgets(self) -> int:
        """How many widgets that belong to the page alone follow this one: the control of a seed, with a filter for choices."""
        control = self.options.get("control_after_generate")
        if self.type == "INT":
            return int(bool(self.name in _SEED_NAMES if control is None else control))
        return 2 if self.type == "COMBO" and control else 0

    @property
    def default(self) -> Any:
        """The value the page starts a new node with; None when there is none."""
        if "default" in self.options:
            return self.options["default"]
        if self.choices:
            return self.choices[0]
        return _FALLBACKS.get(self.type)


@dataclass(frozen=True)
class NodeDefinition:
    """A node class as ComfyUI describes it to its page."""

    class_type: str
    inputs: Mapping[str, InputSpec]
    hidden: Mapping[str, str]
    outputs: tuple[Any, ...]
    """Output types. Kept as declared: packs use subclasses of str that compare equal to every type."""
    is_output: bool

    @classmethod
    def of(cls, class_type: str, node_class: type) -> NodeDefinition:
        """The definition of a class of the classic node API."""
        declared: Mapping[str, Any] = node_class.INPUT_TYPES()  # type: ignore[attr-defined]
        inputs = {}
        for required, section in ((True, "required"), (False, "optional")):
            for name, spec in (declared.get(section) or {}).items():
                inputs[name] = _input_spec(name, spec, required)
        return cls(
            class_type=class_type,
            inputs=inputs,
            hidden=dict(declared.get("hidden") or {}),
            outputs=tuple(getattr(node_class, "RETURN_TYPES", ())),
            is_output=bool(getattr(node_class, "OUTPUT_NODE", False)),
        )


def _input_spec(name: str, spec: Any, required: bool) -> InputSpec:
    kind, options = spec[0], (spec[1] if len(spec) > 1 else {})
    choices = None
    if isinstance(kind, (list, tuple)):
        kind, choices = "COMBO", tuple(kind)
    elif kind == "COMBO":
        choices = tuple(options.get("options", ()))
    return InputSpec(name, kind, choices, options, required)


class Definitions(Mapping[str, NodeDefinition]):
    """The definitions of node classes, each asked for once: `INPUT_TYPES` may list folders."""

    def __init__(self, classes: Mapping[str, type]) -> None:
        self.classes = classes
        self._known: dict[str, NodeDefinition] = {}

    def __getitem__(self, class_type: str) -> NodeDefinition:
        if class_type not in self._known:
            self._known[class_type] = NodeDefinition.of(class_type, self.classes[class_type])
        return self._known[class_type]

    def __iter__(self) -> Iterator[str]:
        return iter(self.classes)

    def __len__(self) -> int:
        return len(self.classes)
