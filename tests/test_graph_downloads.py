"""What a run downloads: a graph's parts checked together before the first of them, and the registry's LoRAs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from advanced_models.loaders.registry import load_registry
from hub_server import Hub, client_environment, run_command
from lora_support import make_lora
from safetensors.torch import save
from test_download_plans import SCHNELL, WAN, folders, hub, small_disk
from test_lora_identity import WAN_LAYERS
from test_no_token import WORKFLOW

__all__ = ["folders", "hub", "small_disk"]


def run(hub: Hub, folder: Path, **settings: str) -> str:
    """What `advanced-models run` says of a graph, in an empty ComfyUI folder."""
    (folder / "graph.json").write_text(json.dumps(WORKFLOW))
    return run_command(hub, folder, "run", "graph.json", "--out", "out", **settings)


def test_a_disk_too_small_for_the_whole_graph_is_told_before_the_first_download(
    hub: Hub, folders: dict[str, Path], tmp_path: Path, small_disk: dict[str, str]
) -> None:
    weights = sum(path.stat().st_size for path in folders[SCHNELL].rglob("*.safetensors"))
    encoders = sum(path.stat().st_size for path in folders[SCHNELL].glob("text_encoder*/*.safetensors"))
    assert encoders < weights // 2
    said = run(hub, tmp_path, **small_disk, FREE=str(weights - 1))
    # The stage that runs first needs the text encoders alone, for which there would be room.
    assert "The download from black-forest-labs/FLUX.1-schnell needs 0.00 GB more and the disk has 0.00 GB free" in said
    assert not hub.sent
    run(hub, tmp_path, **small_disk, FREE=str(2 * weights))
    assert {name.partition("/")[0] for name, _ in hub.sent} == {"text_encoder", "text_encoder_2"}


SCRIPT = """
import pathlib, sys
import advanced_models.host as h
from advanced_models.host.standalone import StandaloneHost
from advanced_models.loaders.lora import locate_lora
from advanced_models.loaders.store import STORE
from advanced_models.nodes import NODE_CLASS_MAPPINGS
h.use(StandaloneHost.below(pathlib.Path(sys.argv[1])))
transformer = NODE_CLASS_MAPPINGS["WanLoader"]().select("Wan2.1-T2V-1.3B")[0]
(transformer,) = NODE_CLASS_MAPPINGS["LoRALoader"]().add(transformer, "CausVid", 1.0)
with STORE.use(transformer.transformer) as (module,):
    print(sum(hasattr(layer, "lora_A") for layer in module.modules()))
print(locate_lora(transformer.transformer.loras[0]).label)
"""


def test_a_registry_lora_is_downloaded_when_it_is_used(hub: Hub, folders: dict[str, Path], tmp_path: Path) -> None:
    lora = next(lora for lora in load_registry().model(WAN).loras if lora.name == "CausVid")
    file = lora.files["transformer"]
    tensors = make_lora(folders[WAN] / "transformer", WAN_LAYERS)
    hub.repositories[lora.repository] = {file: save(tensors), "another.safetensors": b"not this one"}
    layers = len({name.partition(".lora_")[0] for name in tensors})

    def use(**settings: str) -> list[str]:
        (tmp_path / "models" / "loras").mkdir(parents=True, exist_ok=True)
        environment = client_environment(hub, tmp_path) | settings
        done = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], env=environment, capture_output=True, text=True, check=False)
        return (done.stdout or done.stderr).strip().splitlines()

    assert "run `hf download Kijai/WanVideo_comfy" in use(ADVANCED_MODELS_DOWNLOADS="off")[-1]
    assert use() == [str(layers), f"the hub cache's {lora.repository}/{file}"]
    assert [name for name, _ in hub.sent if name.endswith(file)]
    sent = list(hub.sent)
    assert use() == [str(layers), f"the hub cache's {lora.repository}/{file}"]
    assert hub.sent == sent
    (tmp_path / "models" / "diffusers").mkdir()
    assert use(ADVANCED_MODELS_DOWNLOAD_TO="models", HF_HOME=str(tmp_path / "other")) == [str(layers), f"models/loras/{file}"]
