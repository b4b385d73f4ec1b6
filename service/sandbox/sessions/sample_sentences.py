"""The sentence that translations hear and say, in the languages that people try first.

A module of its own for its scripts, which the linter takes for confusable letters.
"""

# ruff: noqa: RUF001 - other languages have letters of their own

from __future__ import annotations

SOURCE = "Good morning, everyone, and thank you for coming today."

_SENTENCES = {
    "en": SOURCE,
    "de": "Guten Morgen zusammen, und danke, dass Sie heute gekommen sind.",
    "es": "Buenos días a todos y gracias por venir hoy.",
    "fr": "Bonjour à tous, et merci d’être venus aujourd’hui.",
    "hi": "सभी को सुप्रभात, और आज आने के लिए धन्यवाद।",
    "id": "Selamat pagi semuanya, dan terima kasih sudah datang hari ini.",
    "it": "Buongiorno a tutti, e grazie di essere venuti oggi.",
    "ja": "皆さん、 おはようございます。 今日は お越し いただき、 ありがとう ございます。",
    "ko": "여러분, 안녕하세요. 오늘 와 주셔서 감사합니다.",
    "pl": "Dzień dobry wszystkim i dziękuję za dzisiejsze przybycie.",
    "pt": "Bom dia a todos, e obrigado por terem vindo hoje.",
    "ru": "Доброе утро всем, и спасибо, что пришли сегодня.",
    "tr": "Herkese günaydın ve bugün geldiğiniz için teşekkürler.",
    "vi": "Chào buổi sáng mọi người, và cảm ơn vì đã đến hôm nay.",
    "zh": "大家 早上 好， 感谢 各位 今天 光临。",
}


def sentence_in(language: str) -> str:
    """Return the sentence in a language (ISO 639-1, with or without a region), in English for an unknown one."""
    return _SENTENCES.get(language.lower().split("-")[0], SOURCE)
