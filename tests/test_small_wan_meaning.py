"""The trained small Wan moves what it is asked the way it is asked, also what no training has shown it together."""

from __future__ import annotations

import random
from pathlib import Path

import advanced_models.host
import pytest
import torch
from advanced_models.demo import trained
from advanced_models.demo.classifier import classify
from advanced_models.demo.clips import MOTIONS, Clip, clip_caption, clips, draw_clips, motion_of
from advanced_models.demo.shapes import Scene, draw, exact, scenes
from advanced_models.host.standalone import StandaloneHost


@pytest.fixture(autouse=True)
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advanced_models.host, "_standalone", StandaloneHost.below(tmp_path, models=(trained.MODELS,)))


def filmed(clip: Clip, *, seed: int, start: torch.Tensor | None = None) -> torch.Tensor:
    with torch.inference_mode():
        return trained.film(clip_caption(clip), seed=seed, picture=start, precision="fp32")


def one_of_each_motion(rng: random.Random) -> list[Clip]:
    return [
        Clip(Scene(scene.shape, scene.colour, scene.background), motion)
        for scene, motion in zip(scenes(6, rng, unseen=True), MOTIONS, strict=True)
    ]


def test_the_judge_knows_what_was_drawn() -> None:
    shown = clips(60, random.Random(5), unseen=True)
    videos = draw_clips(shown, random.Random(6)).movedim(1, -1).numpy()
    assert [motion_of(video) for video in videos] == [clip.motion for clip in shown]
    assert motion_of(videos[0][[0] * 9]) is None


def test_motion_has_the_asked_direction() -> None:
    asked = one_of_each_motion(random.Random(99))
    assert [motion_of(filmed(clip, seed=1).numpy()) for clip in asked] == list(MOTIONS)


def test_a_still_moves_as_asked_and_stays_what_it_is() -> None:
    for clip in one_of_each_motion(random.Random(98)):
        still = draw([exact(clip.scene)])[0].movedim(0, -1)
        video = filmed(clip, seed=2, start=still)
        assert video.shape == (9, 64, 64, 3)
        assert (video[0] - still).abs().mean() < 0.04
        assert motion_of(video.numpy()) == clip.motion
        last = classify(video[-1].numpy())
        assert last is not None
        assert (last.colour, last.background) == (clip.scene.colour, clip.scene.background)
