"""The lines of a message trace: what each one says.

Most lines of a long trace have been seen before (``send 5 1024B``, ``wait a``), so a line's text is looked up
first and read only when it is new. What it says goes into growing columns, one row per different text.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from bgsim.dimensions import UNITS, UnitError
from bgsim.spelling import did_you_mean
from bgsim.traces.program import ANY, COLLECTIVE_TAG, PICOSECONDS, ROOTED, WORDS, Kind
from bgsim.units import parse

BLANK, HEADER, RANKS, RANK, END, WAIT_ALL, WRONG = range(100, 107)
"""What a line may be besides an operation."""

COLUMNS = 8
"""Numbers in a row of the table."""

FORMAT = "bgsim-messages"
VERSION = 1

OF_COLLECTIVE = "collective-"
"""A tag of this and a number is of a message that belongs to a collective call."""

INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1
RANKS_MAX = 4 * 73_728
"""Of a trace: as many as 72 racks of nodes with four cores have."""
COLLECTIVES_MAX = 2**30
"""Largest number in the tag of a collective's message; calls that are written out need tags, too."""
CORES_MAX = 4

_KINDS = {word: kind for kind, word in WORDS.items() if kind is not Kind.COMPUTE_CYCLES}
_STATEMENTS = {FORMAT: HEADER, "ranks": RANKS, "rank": RANK, "end": END}
_OPTIONS = ("tag", "root", "core", "after", "since")
_MESSAGES = (Kind.SEND, Kind.SEND_START, Kind.RECEIVE, Kind.RECEIVE_START)
_RECEIVES = (Kind.RECEIVE, Kind.RECEIVE_START)
_PLAIN = {WORDS[kind]: int(kind) for kind in _MESSAGES}
_KNOWN = (*_KINDS, "waitall", "rank", "ranks", "end")
_SCALES = {unit: int(scale * PICOSECONDS) for unit, scale in UNITS["time"].items()}
_KEPT_MAX = 200_000
_SHOWN_MAX = 40
"""Characters of a word in a message."""


Value = TypeVar("Value")


class Wrong(NamedTuple):
    """What is wrong with a line, and the word at fault."""

    message: str
    word: str


class _RefusalError(ValueError):
    def __init__(self, message: str, word: str = "") -> None:
        super().__init__(message)
        self.wrong = Wrong(message, word)


class Vocabulary(dict[str, int]):
    """Line text to row number; a text that is new is read when it is looked up.

    Attributes
    ----------
    table
        What the rows say, :data:`COLUMNS` numbers each: kind, peer, amount, tag, core, label (-1 without
        one), whether it follows the line before it, and where its references begin.
    reference, since
        Labels that rows refer to, in the order of the rows, and whether it is their start that counts.
    wrong
        By row: what is wrong with it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.table = array("q")
        self.reference, self.since = array("i"), array("b")
        self.labels: dict[str, int] = {}
        self.wrong: dict[int, Wrong] = {}
        self._begun = 0

    def __missing__(self, text: str) -> int:
        row = len(self.table) // COLUMNS
        self._begun = len(self.reference)
        try:
            if not self._read_message(text):
                self._read(text)
        except _RefusalError as refusal:
            del self.reference[self._begun :], self.since[self._begun :]
            self._append(WRONG)
            self.wrong[row] = refusal.wrong
        if len(self) >= _KEPT_MAX:  # a trace whose lines all differ must not fill the memory
            self.clear()
        self[text] = row
        return row

    def _append(
        self,
        kind: int,
        peer: int = -1,
        amount: int = 0,
        tag: int = 0,
        core: int = 0,
        label: int = -1,
        chained: bool = True,
    ) -> None:
        self.table.extend((kind, peer, amount, tag, core, label, chained, self._begun))

    def _read_message(self, text: str) -> bool:
        """Read a plain message or computation, which most new lines are; return whether it was one."""
        words = text.split()
        label = -1
        if len(words) > 2 and words[0][-1] == ":":
            name = words.pop(0)[:-1]
            if not (name.isalnum() and name.isascii()) or name in _RESERVED:
                return False
            label = self.labels.setdefault(name, len(self.labels))
        many = len(words)
        if many == 2 and words[0] == "compute":
            number, scale = words[1][:-2], _SCALES.get(words[1][-2:], 0)
            if not (scale and number.isdigit() and number.isascii() and len(number) < 7):
                return False
            self.table.extend((0, -1, int(number) * scale, 0, 0, label, 1, self._begun))
            return True
        if not (many == 3 or (many == 5 and words[3] == "tag" and words[4].isdigit())):
            return False
        kind, peer, size = _PLAIN.get(words[0], -1), words[1], words[2]
        if kind < 0 or not (peer.isdigit() and size[-1] == "B" and size[:-1].isdigit() and text.isascii()):
            return False
        tag = bounded(words[4], INT32_MAX) if many == 5 else 0
        if len(peer) > 9 or len(size) > 18 or tag > INT32_MAX:
            return False
        self.table.extend((kind, int(peer), int(size[:-1]), tag, 0, label, 1, self._begun))
        return True

    def _read(self, text: str) -> None:
        words = text.split("#", 1)[0].split()
        if not words:
            self._append(BLANK)
            return
        label = -1
        if words[0].endswith(":"):
            label = self._label(words[0][:-1], words[0])
            if len(words) == 1:
                raise _RefusalError("a label stands before an operation on the same line", words[0])
            del words[0]
        word = words[0]
        if word in _STATEMENTS:
            if label >= 0:
                raise _RefusalError(f"'{word}' is not an operation and takes no label", word)
            self._statement(word, words[1:])
            return
        if word == "waitall":
            _none_left(words[1:], word)
            self._append(WAIT_ALL, label=label)
            return
        kind = _KINDS.get(word)
        if kind is None:
            near = did_you_mean(word, _KNOWN) or f" (known: {', '.join(_KNOWN)})"
            raise _RefusalError(f"unknown operation '{word}'{near}", word)
        self._operation(kind, words, label)

    def _statement(self, word: str, rest: list[str]) -> None:
        if len(rest) != 1:
            raise _RefusalError(f"write '{word}' and one number", word)
        self._append(_STATEMENTS[word], amount=_number(rest[0], word, INT64_MAX))

    def _operation(self, kind: Kind, words: list[str], label: int) -> None:
        place = 1
        while place < len(words) and words[place] not in _OPTIONS:
            place += 1
        arguments, options = words[1:place], words[place:]
        if kind == Kind.WAIT:
            if options:
                raise _RefusalError(f"a wait has labels only, not '{options[0]}'", options[0])
            if not arguments:
                raise _RefusalError("wait for what? write the labels of operations, or waitall", words[0])
            self._refer(arguments, False)
            self._append(kind, label=label)
            return
        peer, amount = -1, 0
        tag, core, chained = 0, 0, True
        if kind in (Kind.COMPUTE, Kind.SLEEP):
            kind, amount = _time(arguments, kind)
        elif kind in _MESSAGES:
            if not arguments:
                raise _RefusalError(f"write '{words[0]} RANK SIZE'", words[0])
            peer = _rank(arguments[0], kind)
            amount = ANY if kind in _RECEIVES and arguments[1:] == ["any"] else _size(arguments[1:], words[0])
        elif kind == Kind.BARRIER:
            _none_left(arguments, words[0])
        else:
            amount = _size(arguments, words[0])
            peer = 0 if kind in ROOTED else -1
        index = 0
        while index < len(options):
            option = options[index]
            values = index + 1
            while values < len(options) and options[values] not in _OPTIONS:
                values += 1
            given = options[index + 1 : values]
            index = values
            if option in ("after", "since"):
                chained = False
                if not given:
                    raise _RefusalError(f"write labels behind '{option}', or 'after start'", option)
                if not (option == "after" and given == ["start"]):
                    self._refer(given, option == "since")
                continue
            if len(given) != 1:
                raise _RefusalError(f"write one number behind '{option}'", option)
            if option == "tag" and kind in _MESSAGES:
                tag = ANY if kind in _RECEIVES and given[0] == "any" else _tag(given[0])
            elif option == "root" and kind in ROOTED:
                peer = _number(given[0], option, INT32_MAX)
            elif option == "core" and kind < Kind.WAIT:
                core = _number(given[0], option, CORES_MAX - 1)
            else:
                raise _RefusalError(f"'{words[0]}' takes no '{option}'", option)
        self._append(kind, peer, amount, tag, core, label, chained)

    def _refer(self, names: list[str], since: bool) -> None:
        for name in names:
            self.reference.append(self._label(name, name))
            self.since.append(since)

    def _label(self, name: str, word: str) -> int:
        if not name.replace("_", "").replace("-", "").replace(".", "").isalnum() or name in _RESERVED:
            raise _RefusalError(
                f"'{name}' is no label: letters, digits, '_', '-' and '.', and no keyword", word
            )
        return self.labels.setdefault(name, len(self.labels))


_RESERVED = frozenset(("start", *_OPTIONS))


def _none_left(words: list[str], word: str) -> None:
    if words:
        raise _RefusalError(f"'{word}' takes nothing more, and here is '{words[0]}'", words[0])


def bounded(digits: str, most: int) -> int:
    """A number from its digits, or ``most + 1`` where it is larger, however many digits there are."""
    digits = digits.lstrip("0") or "0"
    return min(int(digits), most + 1) if len(digits) <= len(str(most)) else most + 1


def wrong_ranks(ranks: int) -> str:
    """What is wrong with a number of ranks; empty if nothing is."""
    if ranks < 1:
        return "a trace has at least one rank"
    return (
        ""
        if ranks <= RANKS_MAX
        else f"{ranks:,} ranks, and 72 racks with four on each node have {RANKS_MAX:,}"
    )


def shortened(text: str) -> str:
    """A word as a message shows it."""
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}..."


def _number(text: str, what: str, most: int) -> int:
    if not (text.isascii() and text.isdigit()):
        raise _RefusalError(f"{what}: '{shortened(text)}' is not a whole number", text)
    number = bounded(text, most)
    if number > most:
        raise _RefusalError(f"{what}: {shortened(text)} is more than {most}", text)
    return number


def _tag(text: str) -> int:
    if text.startswith(OF_COLLECTIVE):
        return COLLECTIVE_TAG - _number(text.removeprefix(OF_COLLECTIVE), "tag", COLLECTIVES_MAX)
    return _number(text, "tag", INT32_MAX)


def tag_text(tag: int) -> str:
    """A tag as it stands in a trace."""
    if tag <= COLLECTIVE_TAG:
        return f"{OF_COLLECTIVE}{COLLECTIVE_TAG - tag}"
    return "any" if tag == ANY else str(tag)


def _rank(text: str, kind: Kind) -> int:
    if text == "any" and kind in _RECEIVES:
        said = "which message a receive from any rank takes depends on timing; name the rank it took"
        raise _RefusalError(said, text)
    return _number(text, "rank", INT32_MAX)


def _size(words: list[str], what: str) -> int:
    if not words:
        raise _RefusalError(f"'{what}' needs a size, such as 1024B or 4KiB", what)
    text = " ".join(words)
    if text.endswith("B") and text[:-1].isdigit() and text.isascii():
        size = bounded(text[:-1], INT64_MAX)
    else:
        size = int(_quantity(lambda: parse(text, "bytes").value, words[0]))
    if size > INT64_MAX:
        raise _RefusalError(f"{shortened(text)} is more than 8 EiB", words[0])
    return size


def _time(words: list[str], kind: Kind) -> tuple[Kind, int]:
    what = WORDS[kind]
    if not words:
        or_cycles = " or cycles, such as 2.5us or 850cycles" if kind == Kind.COMPUTE else ", such as 2.5us"
        raise _RefusalError(f"{what} for how long? write a time{or_cycles}", what)
    text = " ".join(words)
    number, unit = text[:-2], text[-2:]
    if unit in _SCALES and number.isascii() and number.isdigit():
        amount = bounded(number, INT64_MAX) * _SCALES[unit]
    elif text.endswith(("cycles", "cycle")) and kind == Kind.COMPUTE:
        kind = Kind.COMPUTE_CYCLES
        cycles = _quantity(lambda: parse(text, "cycles").value, words[0])
        if cycles.denominator != 1:
            raise _RefusalError(f"'{shortened(text)}' is no whole number of cycles", words[0])
        amount = cycles.numerator
    else:
        amount = round(_quantity(lambda: parse(text, "time").value, words[0]) * PICOSECONDS)
    if amount > INT64_MAX:
        said = "more than 2^63 cycles" if kind == Kind.COMPUTE_CYCLES else "longer than 106 days"
        raise _RefusalError(f"{shortened(text)} is {said}", words[0])
    return kind, int(amount)


def _quantity(read: Callable[[], Value], word: str) -> Value:
    try:
        return read()
    except UnitError as error:
        raise _RefusalError(str(error), word) from None
