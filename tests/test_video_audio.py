"""Sound: any rate, mono to 5.1, exact lengths, in the same pass."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from advanced_models.errors import UserError
from advanced_models.video.audio import Sound, frames_that_fit, sound_of
from advanced_models.video.info import read_info
from video_support import clip, decode, needs_ffmpeg, probe, save


def tone(seconds: float, rate: int = 48000, channels: int = 2) -> dict[str, Any]:
    """A sine per channel, 200 Hz apart."""
    t = torch.arange(round(seconds * rate)) / rate
    waves = [0.5 * torch.sin(2 * torch.pi * 220 * (channel + 1) * t) for channel in range(channels)]
    return {"waveform": torch.stack(waves)[None], "sample_rate": rate}


def _samples(file: Path, rate: int, channels: int) -> np.ndarray[Any, Any]:
    import subprocess

    command = ["ffmpeg", "-v", "error", "-i", str(file), "-f", "f32le", "-ar", str(rate), "-ac", str(channels), "-"]
    data = subprocess.run(command, check=True, capture_output=True).stdout
    return np.frombuffer(data, np.float32).reshape(-1, channels).T


@needs_ffmpeg
@pytest.mark.parametrize(
    ("name", "codec"),
    [("mp4 (h264)", "aac"), ("webm (vp9)", "opus"), ("mov (ProRes 422)", "pcm_s16le"), ("mkv (ffv1)", "flac")],
)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_sound_is_heard(tmp_path: Path, name: str, codec: str, channels: int) -> None:
    audio = tone(1.0, channels=channels)
    saved = save(tmp_path, clip(24), name, sound=sound_of(audio))
    found = probe(saved.path)
    assert (found["audio"]["codec_name"], found["audio"]["channels"]) == (codec, channels)
    assert int(found["video"]["nb_read_frames"]) == 24
    assert float(found["format"]["duration"]) == pytest.approx(1.0, abs=0.03)
    heard = _samples(saved.path, 48000, channels)
    assert heard.shape[1] == pytest.approx(48000, abs=1100)  # AAC ends on a block of 1024
    for channel in range(channels):
        if channels == 6 and channel == 3 and codec in ("aac", "opus"):
            continue  # the lossy codecs keep bass alone in the bass channel
        part = heard[channel, 4096 : 4096 + 32768]
        peak = np.abs(np.fft.rfft(part * np.hanning(len(part)))).argmax() * 48000 / len(part)
        assert peak == pytest.approx(220 * (channel + 1), abs=2)


@needs_ffmpeg
@pytest.mark.parametrize(("rate", "stored"), [(44100, 44100), (22050, 22050), (8000, 8000), (11000, 48000), (192000, 96000)])
def test_any_rate_in_mp4(tmp_path: Path, rate: int, stored: int) -> None:
    saved = save(tmp_path, clip(12), sound=sound_of(tone(0.5, rate)))
    found = probe(saved.path)["audio"]
    assert int(found["sample_rate"]) == stored
    assert float(found["duration"]) == pytest.approx(0.5, abs=0.03 if rate >= 22050 else 0.2)


@needs_ffmpeg
def test_opus_at_44100_keeps_its_pitch(tmp_path: Path) -> None:
    saved = save(tmp_path, clip(24), "webm (vp9)", sound=sound_of(tone(1.0, 44100, 1)))
    part = _samples(saved.path, 48000, 1)[0, 4096:36864]
    peak = np.abs(np.fft.rfft(part * np.hanning(len(part)))).argmax() * 48000 / len(part)
    assert peak == pytest.approx(220, abs=2)


@needs_ffmpeg
def test_flac_is_nearly_lossless(tmp_path: Path) -> None:
    audio = tone(0.5)
    saved = save(tmp_path, clip(12), "mkv (ffv1)", sound=sound_of(audio))
    heard = _samples(saved.path, 48000, 2)
    assert heard.shape == (2, 24000)
    assert np.abs(heard - audio["waveform"][0].numpy()).max() < 2**-22


def test_half_a_second_at_24_is_twelve_frames(tmp_path: Path) -> None:
    saved = save(tmp_path, clip(40), sound=sound_of(tone(0.5)), trim_to_sound=True)
    assert saved.frame_count == read_info(saved.path).frame_count == 12


@pytest.mark.parametrize(
    ("samples", "rate", "frame_rate", "frames"),
    [
        (24000, 48000, Fraction(24), 12),
        (96001, 48000, Fraction(24), 48),
        (1, 48000, Fraction(24), 1),
        (44100, 44100, Fraction(24000, 1001), 24),
    ],
)
def test_trimming_is_exact(samples: int, rate: int, frame_rate: Fraction, frames: int) -> None:
    assert frames_that_fit(Sound(np.zeros((1, samples), np.float32), rate), frame_rate, 1000) == frames


def test_trimming_never_makes_frames(tmp_path: Path) -> None:
    assert save(tmp_path, clip(5), sound=sound_of(tone(3.0)), trim_to_sound=True).frame_count == 5


@needs_ffmpeg
def test_sound_is_cut_with_the_picture(tmp_path: Path) -> None:
    saved = save(tmp_path, clip(12), "mov (ProRes 422)", sound=sound_of(tone(3.0)))
    assert _samples(saved.path, 48000, 2).shape[1] == 24000


@needs_ffmpeg
def test_shorter_sound_leaves_every_frame(tmp_path: Path) -> None:
    for frames in range(10, 16):
        saved = save(tmp_path, clip(frames), sound=sound_of(tone(0.2)))
        assert int(probe(saved.path)["video"]["nb_read_frames"]) == frames


def test_formats_without_sound_say_so(tmp_path: Path) -> None:
    saved = save(tmp_path, clip(3), "gif", 10, sound=sound_of(tone(1.0)))
    assert saved.notes == ("gif holds no sound; the sound was left out.",)
    assert not saved.has_sound


def test_bfloat16_batches_and_nan(caplog: pytest.LogCaptureFixture) -> None:
    waveform = torch.zeros(2, 2, 100, dtype=torch.bfloat16)
    waveform[0, 0, 5] = float("nan")
    sound = sound_of({"waveform": waveform, "sample_rate": 16000})
    assert sound is not None
    assert sound.samples.shape == (2, 100)
    assert not np.isnan(sound.samples).any()
    assert "holds 2 sounds" in caplog.text
    assert "not numbers" in caplog.text


def test_empty_sound_is_no_sound(tmp_path: Path) -> None:
    sound = sound_of({"waveform": torch.zeros(1, 2, 0), "sample_rate": 44100})
    assert sound is None
    assert not save(tmp_path, clip(3), sound=sound).has_sound


@pytest.mark.parametrize(
    ("audio", "sentence"),
    [
        ({"waveform": torch.zeros(1, 7, 10), "sample_rate": 48000}, "7 channels"),
        ({"waveform": torch.zeros(1, 2, 10), "sample_rate": 0}, "sample rate"),
        ({"waveform": torch.zeros(1, 2, 10), "sample_rate": float("nan")}, "sample rate"),
        ({"sample_rate": 48000}, "no waveform"),
        ("song.mp3", "no waveform"),
        ({"waveform": torch.zeros(1, 1, 1, 1), "sample_rate": 48000}, "batch, channels, samples"),
    ],
)
def test_sound_refuses_in_one_sentence(audio: object, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        sound_of(audio)


@needs_ffmpeg
def test_picture_and_sound_lie_beside_each_other(tmp_path: Path) -> None:
    """A player that reads from the start finds both; a second pass would put all sound at the end."""
    import subprocess

    saved = save(tmp_path, clip(96), "mkv (ffv1)", sound=sound_of(tone(4.0)))
    command = ["ffprobe", "-v", "error", "-show_entries", "packet=codec_type", "-of", "csv=p=0", str(saved.path)]
    kinds = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    last_sound_in_first_half = [kind.strip(",") for kind in kinds[: len(kinds) // 2]].count("audio")
    assert last_sound_in_first_half > len(kinds) / 8
    assert decode(saved.path, "gray").size == 96 * 64 * 96
