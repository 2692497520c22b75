"""The store: loads once, shares, counts bytes, evicts, and survives every kind of broken file."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import advanced_models.host
import pytest
import torch
from advanced_models.host.standalone import StandaloneHost
from advanced_models.loaders.component import Component, select_component
from advanced_models.loaders.store import Store
from advanced_models.loaders.weight_files import BrokenFilesError, read_weight_files
from safetensors.torch import load_file, save_file

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def own_models(flux_dev: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the small FLUX.1-dev that a test may damage."""
    host = StandaloneHost.below(tmp_path)
    monkeypatch.setattr(advanced_models.host, "_standalone", host)
    folder = host.models[0] / "diffusers" / "FLUX.1-dev"
    shutil.copytree(flux_dev, folder)
    return folder


@pytest.fixture
def vae(own_models: Path) -> Component:
    return select_component("FLUX.1-dev", "vae")


def test_equal_handles_share_one_module(use_host: object) -> None:
    store = Store()
    for model in ("FLUX.1-dev", "FLUX.1-schnell"):
        with store.use(select_component(model, "text_encoder_2")) as (module,):
            first = module
    with store.use(select_component("FLUX.1-dev", "text_encoder_2")) as (module,):
        assert module is first
    assert store.loads == 1
    with store.use(select_component("FLUX.1-dev", "text_encoder_2", precision="fp32")) as (other,):
        assert other is not first
        assert other.dtype == torch.float32
    assert store.loads == 2


def test_bytes_are_those_of_the_tensors(use_host: object, flux_dev: Path) -> None:
    store = Store()
    with store.use(select_component("FLUX.1-dev", "vae", precision="fp32")):
        pass
    numbers = sum(tensor.numel() for tensor in load_file(flux_dev / "vae" / WEIGHTS).values())
    assert store.byte_count == 4 * numbers


def test_a_changed_file_is_read_again(own_models: Path, vae: Component) -> None:
    store = Store()
    with store.use(vae) as (module,):
        before = module.decoder.conv_out.bias.clone()
    path = own_models / "vae" / WEIGHTS
    tensors = {name: tensor + 1 for name, tensor in load_file(path).items()}
    fresh = path.with_suffix(".new")
    save_file(tensors, fresh, metadata={"format": "pt"})
    fresh.replace(path)
    with store.use(vae) as (module,):
        assert torch.equal(module.decoder.conv_out.bias, before + 1)
    assert store.loads == 2


def test_evicts_the_least_recently_used_that_nobody_uses(use_host: object) -> None:
    store = Store()
    parts = {role: select_component("FLUX.1-dev", role) for role in ("text_encoder", "vae", "transformer")}
    for part in parts.values():
        with store.use(part):
            pass
    with store.use(parts["text_encoder"]):
        assert store.evict(1) > 0
        assert [entry.component.role for entry in store.entries()] == ["text_encoder", "transformer"]
        store.clear()
        assert [entry.component.role for entry in store.entries()] == ["text_encoder"]
    store.clear()
    assert store.entries() == []
    assert store.byte_count == 0


def test_missing_shard(own_models: Path) -> None:
    encoder = own_models / "text_encoder_2"
    shard = sorted(encoder.glob("*-of-*.safetensors"))[0]
    shard.unlink()
    with pytest.raises(BrokenFilesError) as refused, Store().use(select_component("FLUX.1-dev", "text_encoder_2")):
        pass
    assert str(refused.value) == (
        f"models/diffusers/FLUX.1-dev/text_encoder_2 lacks 1 of its 2 weight files ({shard.name}): "
        "the download did not finish. Download it again."
    )


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_truncated_file(own_models: Path, vae: Component, kept: int) -> None:
    path = own_models / "vae" / WEIGHTS
    path.write_bytes(path.read_bytes()[: kept if kept >= 0 else path.stat().st_size + kept])
    store = Store()
    damaged = r"vae/diffusion_pytorch_model\.safetensors is (not a whole safetensors file|cut short).*ownload it again"
    with pytest.raises(BrokenFilesError, match=damaged), store.use(vae):
        pass
    assert store.entries() == []


def test_no_weights_and_pickle_weights(own_models: Path, vae: Component) -> None:
    (own_models / "vae" / WEIGHTS).unlink()
    with pytest.raises(BrokenFilesError, match="holds no weights"), Store().use(vae):
        pass
    (own_models / "vae" / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(BrokenFilesError, match="only pickle weights"), Store().use(vae):
        pass


def test_config_of_another_class(own_models: Path, vae: Component) -> None:
    shutil.copy(own_models / "transformer" / "config.json", own_models / "vae" / "config.json")
    with pytest.raises(BrokenFilesError, match="holds a FluxTransformer2DModel, not the AutoencoderKL"), Store().use(vae):
        pass


@pytest.mark.parametrize("change", [{"latent_channels": 4}, {"layers_per_block": 2}, {"block_out_channels": [8, 8, 8, 16]}])
def test_config_that_does_not_fit_the_weights(own_models: Path, vae: Component, change: dict[str, object]) -> None:
    path = own_models / "vae" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    store = Store()
    with pytest.raises(BrokenFilesError, match="its config does not fit its weights"), store.use(vae):
        pass
    assert store.entries() == []


def test_missing_tensors_in_a_text_encoder(own_models: Path) -> None:
    path = own_models / "text_encoder" / "model.safetensors"
    tensors = load_file(path)
    name = next(name for name in tensors if name.endswith("layers.0.mlp.fc1.weight"))
    del tensors[name]
    save_file(tensors, path, metadata={"format": "pt"})
    with (
        pytest.raises(BrokenFilesError, match="lacks 1 tensors of a CLIPTextModel"),
        Store().use(select_component("FLUX.1-dev", "text_encoder")),
    ):
        pass


def test_unreadable_config(own_models: Path, vae: Component) -> None:
    (own_models / "vae" / "config.json").write_text("{not json")
    with pytest.raises(Exception, match=r"models/diffusers/FLUX\.1-dev/vae/config\.json cannot be read") as refused, Store().use(vae):
        pass
    assert str(own_models.parent) not in str(refused.value)


def test_works_again_after_a_failure(own_models: Path, vae: Component) -> None:
    store = Store()
    path = own_models / "vae" / WEIGHTS
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(BrokenFilesError), store.use(vae):
        pass
    path.write_bytes(whole)
    with store.use(vae) as (module,):
        assert module.config.latent_channels == 16


def test_headers_tell_names_shapes_and_sizes(use_host: object, flux_dev: Path) -> None:
    from advanced_models.loaders.sources import locate

    files = read_weight_files(locate(select_component("FLUX.1-dev", "vae")))
    real = load_file(flux_dev / "vae" / WEIGHTS)
    assert {name: tensor.shape for name, tensor in files.tensors.items()} == {name: tuple(t.shape) for name, t in real.items()}
    assert files.parameter_count == sum(tensor.numel() for tensor in real.values())
    assert files.byte_count == (flux_dev / "vae" / WEIGHTS).stat().st_size


@pytest.mark.parametrize("role", ["vae", "text_encoder_2"])
def test_files_of_a_variant_are_as_good(own_models: Path, role: str) -> None:
    """As the repositories of Stable Diffusion hold what is downloaded of them; one shard or several."""
    with Store().use(select_component("FLUX.1-dev", role)) as (module,):
        expected = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    for path in list((own_models / role).glob("*.safetensors*")):
        stem, _, rest = path.name.partition(".safetensors")
        shard = re.fullmatch(r"(.*)(-\d+-of-\d+)", stem)
        name = f"{shard[1]}.fp16{shard[2]}.safetensors" if shard else f"{stem}.safetensors{rest.replace('.json', '.fp16.json')}"
        name = name if shard or rest else f"{stem}.fp16.safetensors"
        path.rename(path.with_name(name))
    for path in (own_models / role).glob("*.index.fp16.json"):
        path.write_text(re.sub(r"(-\d+-of-\d+)", r".fp16\1", path.read_text()))
    with Store().use(select_component("FLUX.1-dev", role)) as (module,):
        assert all(torch.equal(tensor, expected[name]) for name, tensor in module.state_dict().items())
