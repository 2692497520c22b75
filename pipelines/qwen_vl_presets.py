"""What people ask a vision-language model for in a graph, in words that work with Qwen-VL."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UserError

OWN_QUESTION = "own question"
SAME_LANGUAGE = "as asked"
LANGUAGES = (SAME_LANGUAGE, "English", "Chinese")


@dataclass(frozen=True)
class Preset:
    """A task in words. `{subject}` is what it works on: the picture, the pictures, the video, or the text below."""

    task: str
    needs_picture: bool = True
    """Whether it makes no sense for a text alone."""


_ONLY_PROMPT = " Give the prompt alone, with no title, no quotation marks around it and no remarks."

PRESETS = {
    OWN_QUESTION: Preset("", needs_picture=False),
    "describe": Preset("Describe {subject} in two or three sentences, beginning with what matters most."),
    "describe in detail": Preset(
        "Describe {subject} in detail: the subjects and what they do, their looks and clothes, the setting, the composition and point of "
        "view, light, colours, style, and every text that can be read. State only what can be seen."
    ),
    "tags": Preset(
        "List what can be seen in {subject} as 20 to 40 short tags in lower case, separated by commas, the most important first: subject, "
        "looks, action, setting, composition, light, style. No sentences and no repetition."
    ),
    "read text": Preset(
        "Write down every text that can be read in {subject}, exactly as it stands, in its own language and in reading order, one line "
        "for each line. If there is none, answer: no text."
    ),
    "FLUX prompt": Preset(
        "Write a prompt for the image model FLUX from {subject}: one paragraph of flowing English of 60 to 120 words that names subject, "
        "action, setting, composition, light, colours and style or camera, concretely and in the present tense. FLUX knows no negative "
        "words: say what is there, not what is missing." + _ONLY_PROMPT,
        needs_picture=False,
    ),
    "Wan prompt": Preset(
        "Write a prompt for the video model Wan from {subject}: one paragraph of 80 to 120 words that names the subject and how it looks, "
        "how it moves from the first second to the last, the setting, the camera (shot size and movement), light and style. Describe "
        "one continuous shot of five seconds." + _ONLY_PROMPT,
        needs_picture=False,
    ),
    "Qwen-Image prompt": Preset(
        "Write a prompt for the image model Qwen-Image from {subject}: one paragraph of 60 to 150 words that names subject, looks, action, "
        "setting, composition, light and style. Put every text that shall stand in the picture in quotation marks, word for word, and "
        "say where it stands and how it is lettered." + _ONLY_PROMPT,
        needs_picture=False,
    ),
    "edit instruction": Preset(
        "Write an instruction for an image editing model that turns the first picture of {subject} into what is asked for below, or into "
        "the second picture: one to three sentences that name what to change, into what, and what must stay as it is." + _ONLY_PROMPT
    ),
}


def instruction(preset: str, prompt: str, language: str, *, subject: str | None) -> str:
    """What the model is asked. `subject` is `the picture` or the like, None where there is text alone.

    Raises UserError for an unknown preset or language, for a preset without what it works on, and for an own question that is empty.
    """
    if preset not in PRESETS:
        raise UserError(f"There is no preset '{preset}'; choose one of {', '.join(PRESETS)}.")
    if language not in LANGUAGES:
        raise UserError(f"There is no language '{language}'; choose one of {', '.join(LANGUAGES)}.")
    chosen, asked = PRESETS[preset], prompt.strip()
    if chosen.needs_picture and subject is None:
        raise UserError(f"The preset '{preset}' works on a picture: connect one, or choose another preset.")
    if not asked and (subject is None or preset == OWN_QUESTION):
        raise UserError(f"The prompt is empty: write what the preset '{preset}' shall work on.")
    parts = [chosen.task.format(subject=subject or "the text below")] if chosen.task else []
    if asked:
        parts.append(asked)
    if language != SAME_LANGUAGE:
        parts.append(f"Answer in {language}.")
    return "\n\n".join(parts)
