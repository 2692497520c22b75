"""Progress, preview and interruption while FLUX denoises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from advanced_models.errors import Interrupted
from advanced_models.host.standalone import StandaloneHost
from advanced_models.nodes.flux import FluxDenoise, FluxLoader, FluxPromptEncode
from devices import on_cpu

RUN = {"width": 64, "height": 64, "seed": 7}


class Recorder:
    """A progress bar that keeps what it is told."""

    def __init__(self) -> None:
        self.total = 0
        self.done: list[int] = []
        self.previews: list[torch.Tensor] = []

    def update(self, done: int, latents: Callable[[], torch.Tensor] | None = None) -> None:
        self.done.append(done)
        if latents is not None:
            self.previews.append(latents())


@pytest.fixture
def graph(use_host: StandaloneHost, flux_dev: Path) -> tuple[Any, Any]:
    transformer, clip_l, t5_xxl, _, _ = FluxLoader().select("FLUX.1-dev", "fp32")
    return transformer, FluxPromptEncode().encode(clip_l, t5_xxl, "a red fox")[0]


def test_progress_and_preview(graph: tuple[Any, Any], use_host: StandaloneHost, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()

    def progress(total: int, latent_format: str | None = None) -> Recorder:
        recorder.total = total
        assert latent_format == "flux"
        return recorder

    monkeypatch.setattr(use_host, "progress", progress)
    with torch.inference_mode():
        (result,) = FluxDenoise().denoise(*graph, **RUN, steps=5)
    assert recorder.total == 5
    assert recorder.done == [1, 2, 3, 4, 5]
    # After the last step no noise is left, so the preview is the result; scaling and shift are those of the FLUX VAE's config.
    assert torch.allclose(on_cpu(recorder.previews[-1]) / 0.3611 + 0.1159, on_cpu(result["samples"]), atol=1e-6)
    assert recorder.previews[0].shape == (1, 16, 8, 8)
    assert not torch.allclose(recorder.previews[0], recorder.previews[-1], atol=1e-3)


def test_partial_runs_count_only_their_own_steps(graph: tuple[Any, Any], use_host: StandaloneHost, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    totals: list[int] = []
    monkeypatch.setattr(use_host, "progress", lambda total, _: totals.append(total) or recorder)
    with torch.inference_mode():
        FluxDenoise().denoise(*graph, **RUN, steps=10, denoise=0.5, latent={"samples": torch.zeros(1, 16, 8, 8)})
    assert totals == [5]
    assert recorder.done == [1, 2, 3, 4, 5]


def test_stops_within_a_step_and_runs_again_unchanged(
    graph: tuple[Any, Any], use_host: StandaloneHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request comes while the second of the transformer's four blocks computes; the third is never reached."""
    from advanced_models.loaders.store import STORE

    with torch.inference_mode():
        (expected,) = FluxDenoise().denoise(*graph, **RUN, steps=4)
        with STORE.use(graph[0]) as (module,):
            calls = {"transformer_blocks": 0, "single_transformer_blocks": 0}

            def count(name: str) -> Callable[..., None]:
                def hook(*_: object) -> None:
                    calls[name] += 1
                    if calls == {"transformer_blocks": 4, "single_transformer_blocks": 2}:
                        use_host.interrupt()

                return hook

            hooks = [block.register_forward_hook(count(name)) for name in calls for block in getattr(module, name)]
            with pytest.raises(Interrupted):
                FluxDenoise().denoise(*graph, **RUN, steps=4)
            for hook in hooks:
                hook.remove()
        # Two whole passes through the double blocks, one through the single ones: stopped in the middle of the second step.
        assert calls == {"transformer_blocks": 4, "single_transformer_blocks": 2}
        (again,) = FluxDenoise().denoise(*graph, **RUN, steps=4)
    assert torch.equal(again["samples"], expected["samples"])
