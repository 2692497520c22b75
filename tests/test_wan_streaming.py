"""Frames leave WanDecode a few at a time, and equal what the VAE decodes at once."""

from __future__ import annotations

import copy
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from advanced_models.errors import Interrupted
from advanced_models.host.standalone import StandaloneHost
from advanced_models.loaders.store import STORE
from advanced_models.nodes import NODE_CLASS_MAPPINGS
from advanced_models.video.frames import FrameSource, frames_of
from devices import on_cpu, on_device
from wan_support import parts_of

SHAPES = {"Wan2.1-T2V-1.3B": (1, 16, 4, 8, 12), "Wan2.2-TI2V-5B": (1, 48, 4, 4, 6)}


@pytest.fixture(params=SHAPES)
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def decoded(model: str, batch: int = 1) -> tuple[Any, torch.Tensor, Any]:
    """WanDecode's output, the latents it decodes, and the VAE."""
    latents = torch.randn(SHAPES[model], generator=torch.Generator().manual_seed(3)).repeat(batch, 1, 1, 1, 1)
    latents[-1] = latents[-1].flip(-1)
    vae = parts_of(model)["vae"]
    return NODE_CLASS_MAPPINGS["WanDecode"]().decode(vae, {"samples": latents})[0], latents, vae


def at_once(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """Frames as the VAE's own `decode` gives them."""
    with torch.inference_mode(), STORE.use(vae) as (module,):
        frames = (module.decode(on_device(latents)).sample[0] * 0.5 + 0.5).clamp(0, 1).permute(1, 2, 3, 0)
        return on_cpu(frames)


def test_pieces_equal_the_whole(wan_host: object, model: str) -> None:
    frames, latents, vae = decoded(model)
    pieces = [piece.clone() for piece in frames.chunks()]
    assert [len(piece) for piece in pieces] == [1, 4, 4, 4]
    assert torch.equal(torch.cat(pieces), at_once(vae, latents))


def test_only_the_pieces_in_use_exist(wan_host: object, model: str) -> None:
    frames, _, _ = decoded(model)
    alive: list[weakref.ref[torch.Tensor]] = []
    for piece in frames.chunks():
        assert sum(ref() is not None for ref in alive) <= 1
        alive.append(weakref.ref(piece))
        del piece
    assert len(alive) == 4


def test_clips_of_a_batch_follow_one_another(wan_host: object) -> None:
    frames, latents, vae = decoded("Wan2.1-T2V-1.3B", batch=2)
    assert frames.shape == (26, 64, 96, 3)
    assert torch.equal(frames.clone(), torch.cat([at_once(vae, latents[:1]), at_once(vae, latents[1:])]))


def test_nothing_is_decoded_before_it_is_needed(wan_host: StandaloneHost, monkeypatch: pytest.MonkeyPatch) -> None:
    bars: list[int] = []
    progress = wan_host.progress
    monkeypatch.setattr(wan_host, "progress", lambda total, latent_format=None: bars.append(total) or progress(total, latent_format))
    frames, latents, vae = decoded("Wan2.1-T2V-1.3B")
    assert (frames.shape, frames.dtype, frames.device.type) == ((13, 64, 96, 3), torch.float32, "cpu")
    assert (frames.ndim, len(frames), frames.size(0), frames.numel()) == (4, 13, 13, 13 * 64 * 96 * 3)
    assert frames.is_floating_point()
    assert isinstance(frames, torch.Tensor)
    assert "not decoded yet" in repr(frames)
    assert {frames: 1}[frames] == 1
    assert bars == []
    # VideoCombine takes it as what it is, piece by piece.
    assert isinstance(frames, FrameSource)
    assert frames_of(frames) is frames
    assert bars == []
    assert frames[3, 5, 7].shape == (3,)
    assert bars == [4]
    # Decoded once, then it stays.
    expected = at_once(vae, latents)
    assert torch.equal(frames.clone(), expected)
    assert torch.equal(torch.cat(list(frames.chunks())), expected)
    assert bars == [4]


def test_it_is_an_ordinary_image_to_everybody_else(wan_host: object) -> None:
    """What other nodes do with an IMAGE."""
    _, latents, vae = decoded("Wan2.1-T2V-1.3B")
    expected = at_once(vae, latents)

    def fresh() -> Any:
        return NODE_CLASS_MAPPINGS["WanDecode"]().decode(vae, {"samples": latents})[0]

    frames = fresh()
    assert torch.equal(torch.stack(list(frames)), expected)
    assert np.array_equal(np.asarray(fresh()), expected.numpy())
    assert np.array_equal((255.0 * fresh().cpu().numpy()).astype(np.uint8), (255.0 * expected.numpy()).astype(np.uint8))
    assert torch.equal(torch.cat([fresh(), fresh()[:2]]), torch.cat([expected, expected[:2]]))
    assert torch.equal(1 - fresh(), 1 - expected)
    assert torch.equal(fresh().movedim(-1, 1).contiguous(), expected.movedim(-1, 1))
    half = torch.nn.functional.interpolate(expected.movedim(-1, 1), scale_factor=0.5)
    assert torch.equal(torch.nn.functional.interpolate(fresh().movedim(-1, 1), scale_factor=0.5), half)
    assert torch.equal(copy.deepcopy(fresh()), expected)
    assert type(fresh()[0]) is torch.Tensor
    assert fresh().mean().item() == pytest.approx(expected.mean().item(), rel=1e-6)  # the order of summation is that of the memory
    changed = fresh()
    changed[0] = 0
    assert (changed[0] == 0).all()
    assert changed.data_ptr() == changed.decoded().data_ptr()


def test_stops_between_pieces_and_decodes_again_unchanged(wan_host: StandaloneHost, model: str) -> None:
    frames, latents, vae = decoded(model)
    pieces = frames.chunks()
    next(pieces)
    next(pieces)
    wan_host.interrupt()
    with pytest.raises(Interrupted):
        next(pieces)
    assert torch.equal(frames.clone(), at_once(vae, latents))
    assert all(entry.users == 0 for entry in STORE.entries())


def test_stops_within_a_piece(wan_host: StandaloneHost) -> None:
    frames, latents, vae = decoded("Wan2.1-T2V-1.3B")
    with STORE.use(vae) as (module,):
        hook = module.decoder.mid_block.register_forward_hook(lambda *_: wan_host.interrupt())
        passed: list[int] = []
        late = module.decoder.norm_out.register_forward_hook(lambda *_: passed.append(1))
        with pytest.raises(Interrupted):
            frames.clone()
        hook.remove()
        late.remove()
    assert passed == []
    assert torch.equal(frames.clone(), at_once(vae, latents))


def test_a_reader_that_stops_early_leaves_the_vae_free(wan_host: object) -> None:
    frames, latents, vae = decoded("Wan2.1-T2V-1.3B")
    pieces = frames.chunks()
    next(pieces)
    del pieces
    assert all(entry.users == 0 for entry in STORE.entries())
    assert torch.equal(frames.clone(), at_once(vae, latents))


def test_the_readers_autograd_mode_is_its_own(wan_host: object) -> None:
    frames, _, _ = decoded("Wan2.1-T2V-1.3B")
    for piece in frames.chunks():
        assert not torch.is_inference_mode_enabled()
        assert torch.is_grad_enabled()
        assert not piece.requires_grad


def test_video_combine_never_holds_the_clip(wan_host: StandaloneHost) -> None:
    """From latents to a file of all frames, and the IMAGE that was passed through is still not decoded."""
    import av
    from advanced_models.nodes.video import VideoCombine

    frames, latents, vae = decoded("Wan2.1-T2V-1.3B")
    with torch.inference_mode():
        saved = VideoCombine().save(16.0, "mkv (ffv1)", "high", "medium", "wan/clip", images=frames)
    assert "not decoded yet" in repr(frames)
    assert saved["result"][1] is frames
    with av.open(str(wan_host.output_folder / saved["result"][2])) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(pictures) == 13
    expected = (255 * at_once(vae, latents)).numpy()
    assert np.abs(np.stack(pictures) - expected).max() <= 1  # lossless but for rounding
