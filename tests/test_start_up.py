"""What happens when ComfyUI imports the pack: little, and nothing of another pack's is touched."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from advanced_models.host.registration import without_clashes

HEAVY = ["torch", "diffusers", "transformers", "accelerate", "bitsandbytes", "av", "huggingface_hub"]


def test_registering_the_nodes_imports_nothing_heavy() -> None:
    """Import, and every node's inputs as the page asks for them."""
    script = (
        "import json, sys, advanced_models\n"
        "for node in advanced_models.NODE_CLASS_MAPPINGS.values(): node.INPUT_TYPES()\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_node_ids_are_the_class_names() -> None:
    import advanced_models

    for node_id, node in advanced_models.NODE_CLASS_MAPPINGS.items():
        assert node_id == node.__name__
        assert callable(getattr(node, node.FUNCTION))
        assert node_id in advanced_models.NODE_DISPLAY_NAME_MAPPINGS


def test_a_taken_id_is_left_to_its_owner(caplog: pytest.LogCaptureFixture) -> None:
    ours, theirs = type("FluxLoader", (), {"__module__": "ours"}), type("FluxLoader", (), {"__module__": "theirs"})
    classes, names = without_clashes({"FluxLoader": ours}, {"FluxLoader": "FLUX Loader"}, {"FluxLoader": theirs})
    assert classes == {"FluxLoader (Advanced Models)": ours}
    assert names == {"FluxLoader (Advanced Models)": "FLUX Loader (Advanced Models)"}
    assert "another pack has a node FluxLoader" in caplog.text
    again, _ = without_clashes({"FluxLoader": ours}, {}, {"FluxLoader": ours})
    assert again == {"FluxLoader": ours}


def test_registered_nodes_are_those_of_comfyui(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = type("FluxLoader", (), {"__module__": "theirs"})
    monkeypatch.setitem(sys.modules, "nodes", SimpleNamespace(NODE_CLASS_MAPPINGS={"FluxLoader": theirs}))
    ours = type("FluxLoader", (), {"__module__": "ours"})
    assert list(without_clashes({"FluxLoader": ours}, {})[0]) == ["FluxLoader (Advanced Models)"]
