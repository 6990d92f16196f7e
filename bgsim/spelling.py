"""The nearest known spelling of a word that was not recognised.

Every closed vocabulary of bgsim (units, parameter names, keys of an experiment) answers an unknown word with
the word that was probably meant. One rule for all of them stands here: same letters in another case first,
then closeness as :mod:`difflib` measures it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["did_you_mean", "nearest"]


def nearest(word: str, known: Iterable[str], limit: int = 1) -> list[str]:
    """Known words that `word` may have been meant to be, best first.

    Parameters
    ----------
    word
        The word that was not recognised.
    known
        The vocabulary.
    limit
        Most suggestions wanted.

    Returns
    -------
    list of str
        At most `limit` words of `known`; empty when none is close.
    """
    vocabulary = list(dict.fromkeys(known))
    found = [candidate for candidate in vocabulary if candidate.casefold() == word.casefold()]
    found += difflib.get_close_matches(word, vocabulary, n=limit + len(found), cutoff=0.6)
    folded = {candidate.casefold(): candidate for candidate in reversed(vocabulary)}
    close = difflib.get_close_matches(word.casefold(), list(folded), n=limit, cutoff=0.6)
    found += [folded[candidate] for candidate in close]
    return list(dict.fromkeys(found))[:limit]


def did_you_mean(word: str, known: Iterable[str], limit: int = 1) -> str:
    """The end of an error sentence, ``; did you mean 'profile'?``, or nothing when no word is close.

    Parameters
    ----------
    word
        The word that was not recognised.
    known
        The vocabulary.
    limit
        Most suggestions wanted.

    Returns
    -------
    str
        Text to append to a sentence that has no full stop yet.
    """
    found = nearest(word, known, limit)
    if not found:
        return ""
    return f"; did you mean {' or '.join(repr(candidate) for candidate in found)}?"
