"""Token counts, roughly as the vendor's, so that usage and ``max_output_tokens`` behave."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

_CHARACTERS_PER_TOKEN = 4
_INPUT_AUDIO_MS_PER_TOKEN = 100
_OUTPUT_AUDIO_MS_PER_TOKEN = 50


def text_tokens(text: str) -> int:
    """Count the tokens of a text: one for each four characters, rounded up."""
    return math.ceil(len(text) / _CHARACTERS_PER_TOKEN)


def input_audio_tokens(ms: int) -> int:
    """Count the tokens of input audio."""
    return math.ceil(ms / _INPUT_AUDIO_MS_PER_TOKEN)


def output_audio_tokens(ms: int) -> int:
    """Count the tokens of output audio."""
    return math.ceil(ms / _OUTPUT_AUDIO_MS_PER_TOKEN)


def usage(*, text_in: int, audio_in: int, text_out: int, audio_out: int) -> dict[str, Any]:
    """Build the ``usage`` of a response."""
    return {
        "total_tokens": text_in + audio_in + text_out + audio_out,
        "input_tokens": text_in + audio_in,
        "output_tokens": text_out + audio_out,
        "input_token_details": {
            "text_tokens": text_in,
            "audio_tokens": audio_in,
            "image_tokens": 0,
            "cached_tokens": 0,
            "cached_tokens_details": {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0},
        },
        "output_token_details": {"text_tokens": text_out, "audio_tokens": audio_out},
    }


@dataclass(slots=True)
class Budget:
    """The output tokens of one response.

    ``limit`` is a number or ``inf``; ``exhausted`` says that something no longer fitted.
    """

    limit: int | str
    text: int = field(default=0, init=False)
    audio: int = field(default=0, init=False)
    exhausted: bool = field(default=False, init=False)

    def spend(self, text: str, *, audio_ms: int = 0) -> bool:
        """Spend a word and its audio; if they do not fit, spend the rest and return False."""
        text_cost, audio_cost = text_tokens(text), output_audio_tokens(audio_ms)
        spent = self.text + self.audio
        if isinstance(self.limit, int) and spent + text_cost + audio_cost > self.limit:
            self.text += self.limit - spent
            self.exhausted = True
            return False
        self.text += text_cost
        self.audio += audio_cost
        return True
