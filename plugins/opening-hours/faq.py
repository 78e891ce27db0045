"""Questions that are asked often: found by the words that stand in them."""

import unicodedata

# More than two answers at once only confuse the caller.
ANSWERS_MAX = 2


def answer(entries: list, question: str) -> dict:
    """The entries with the most of their `keywords` in the question, best first."""
    asked = _plain(question)
    scored = [(sum(_plain(word) in asked for word in entry.get("keywords", [])), entry) for entry in entries]
    found = sorted((pair for pair in scored if pair[0] > 0), key=lambda pair: -pair[0])[:ANSWERS_MAX]
    if not found:
        return {"found": False}
    return {"found": True, "answers": [{"question": entry.get("question", ""), "answer": entry["answer"]} for _, entry in found]}


def _plain(text: str) -> str:
    """Without width and case, which say nothing."""
    return unicodedata.normalize("NFKC", text).casefold()
