"""Find the measured numbers in prose: where they stand, in what unit, and what the words around them speak of.

A number is taken for measured by its form: it has a decimal point, or a unit of measurement stands behind it. So
settings (epochs, sizes, seeds, classes, images) are none. Left out are code, formulas, what ``make docs`` writes;
versions, arXiv numbers, wavelengths and what follows an equals sign, but for p (``_SETTING``); and 95 %, the level of
every interval.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

_UNIT = (
    r"%|percent\b|points?\b|images/s|GFLOP/s|ms\b|s\b|[kMG]i?B\b|[MG]?MACs\b|[kMG]\b(?! MACs)|parameters\b"
    r"|times\b(?! faster)|at \d+x\d+"
)
_NUMBER = re.compile(
    r"(?<![\w.,-])(?P<sign>[-+−](?=\d))?(?P<digits>\d{1,3}(?:,\d{3})+|\d+)(?P<decimals>\.\d+)?(?![\d.]*\.\d)(?!\w)"
)
_BEHIND = re.compile(rf"\s?(?P<unit>{_UNIT})")
_ANOTHER = re.compile(r"\s?(?:to|and|or|against|–|/|,)\s?(?=[-+−]?\d)")  # "86 to 90 and 74 to 76 percent": one unit
_SETTING_BEFORE = re.compile(
    r"(?:arXiv|Python|[Tt]orch|timm|GhostNet|version|eq\.|section|chapter)\s$|(?<!\bp)\s[=<]\s$"
)
_SETTING_BEHIND = re.compile(r"\s?(?:to [\d.]+ )?(?:micrometres|octaves|epochs|pixels|x\b|x \d)")
_CUE = re.compile(
    r"(?<!\bpart )(?<!\b00\d[- ])(?<!\] )\b(?:RGB|RG|RB|GB|[RGB])\b(?!['’*`])|\b(?:two|one|single) channels?\b"
    r"|(?:(?<=\bon )|(?<=\bwith )|(?<=, ))(?:two|one)\b|\b(?:mean|on\s+average)\b"
)
_LISTED = re.compile(r"(?:,| and|, and)?\s+")


@dataclass(frozen=True)
class Block:
    """A paragraph, a list item or a row of a table; ``above`` are a table's column heads."""

    text: str
    lines: tuple[tuple[int, int], ...]  # where in the text each line of the file begins, and its number
    section: str
    heads: tuple[str, ...] = ()

    def line(self, at: int) -> int:
        return max((number for start, number in self.lines if start <= at), default=self.lines[0][1])


@dataclass(frozen=True)
class Quote:
    """A measured number as it is printed."""

    path: Path
    line: int
    text: str  # as it stands there, with its sign
    unit: str
    sentence: str
    at: int  # in the sentence
    block: Block = field(repr=False)

    @property
    def value(self) -> float:
        return float(self.text.replace(",", "").replace("−", "-"))

    @property
    def digits(self) -> int:
        return len(self.text.partition(".")[2])

    @property
    def signed(self) -> bool:
        return self.text[0] in "+-−"

    @property
    def partner(self) -> float | None:
        """The other end of the interval that it is one end of."""
        if not self.bound:
            return None
        number = r"([-+−]?\d(?:[\d.,]*\d)?)"
        for pair in re.finditer(rf"{number}\s(?:to|–)\s?{number}", self.sentence):
            if self.at in {pair.start(1), pair.start(2)}:
                return float(pair[2 if self.at == pair.start(1) else 1].replace(",", "").replace("−", "-"))
        return None

    @property
    def bound(self) -> bool:
        """Whether it is one end of ``(a to b)``, an interval."""
        before, behind = self.sentence[: self.at], self.sentence[self.at :]
        inside = before.rfind("(") > before.rfind(")")
        number = r"[-+−]?[\d.,]+"
        opened = before[before.rfind("(") + 1 :]
        return inside and bool(
            re.match(rf"{number}\s(?:to|–)\s?{number}[),;]", behind)
            or (re.search(rf"{number}\s(?:to|–)\s?$", opened) and re.match(rf"{number}[),;]", behind))
        )

    @property
    def turned(self) -> bool:
        """Whether it is one end of the interval of how far something is behind: turned round from the records'."""
        opened = self.sentence[: self.at].rpartition("(")[0]
        return self.bound and bool(re.search(r"\b(?:behind|less|fewer)\b[^.,;:()]*$", opened))

    @property
    def cues(self) -> set[str]:
        """The subsets it may speak of: of those named in the sentence, the ones right before it and right behind it."""
        cues = [(match.start(), match.end(), _cue(match[0])) for match in _CUE.finditer(self.sentence)]
        end = self.at + len(self.text)
        while (another := _ANOTHER.match(self.sentence, end)) and (
            number := _NUMBER.match(self.sentence, another.end())
        ):
            end = number.end()  # of "31.3 to 33.8 on one channel" the first too
        behind = next((cue for cue in cues if cue[0] >= end), None)
        gap = self.sentence[end : behind[0]] if behind else ""
        found: set[str] = set()
        if behind and not re.search(r"[\d;,.()]", gap):
            found = _list_of(cues, cues.index(behind), self.sentence, 1)
            if re.fullmatch(r"(?: ?%| points?| percent)?(?: less| more| right)? (?:(?:on|with|for|over) )?", gap):
                return found
        clause = self.sentence.rfind(";", 0, self.at)
        before = [i for i, cue in enumerate(cues) if clause < cue[1] <= self.at]
        return found | (_list_of(cues, before[-1], self.sentence, -1) if before else set())


def _cue(text: str) -> str:
    if text == "mean" or text.endswith("average"):
        return "mean"
    return "two" if "two" in text else "one" if re.search("one|single", text) else text


def _list_of(cues: list[tuple[int, int, str]], i: int, sentence: str, step: int) -> set[str]:
    """The subsets of a list such as "G and B", from its first or its last."""
    found = {cues[i][2]}
    while 0 <= i + step < len(cues):
        left, right = sorted((i, i + step))
        if not _LISTED.fullmatch(sentence[cues[left][1] : cues[right][0]]):
            break
        i += step
        found.add(cues[i][2])
    return found


def quotes(path: Path) -> list[Quote]:
    """All measured numbers in the prose of a Markdown file, or in the texts of a Python file."""
    return [quote for block in blocks(path) for quote in _in_block(path, block)]


def _in_block(path: Path, block: Block) -> Iterator[Quote]:
    starts = [0, *(m.end() for m in re.finditer(r"(?<=[.!?])\s+(?=[A-Z*(\[|])", block.text)), len(block.text)]
    for start, end in pairwise(starts):
        sentence = block.text[start:end]
        code = [match.span() for match in re.finditer(r"`[^`]*`", sentence)]
        for match in _NUMBER.finditer(sentence):
            if any(first <= match.start() < last for first, last in code):
                continue
            unit = _unit(sentence, match.end()) or _of_column(block, start + match.start())
            before, behind = sentence[: match.start()], sentence[match.end() :]
            if not (unit or match["decimals"]) or match[0] + behind[:2] == "95 %":
                continue
            if _SETTING_BEFORE.search(before) or _SETTING_BEHIND.match(behind):
                continue
            line = block.line(start + match.start())
            yield Quote(path, line, match[0], unit, sentence, match.start(), block)


def _unit(sentence: str, end: int) -> str:
    """The unit behind a number, or that of the numbers it is listed with."""
    while True:
        if unit := _BEHIND.match(sentence, end):
            return unit["unit"]
        another = _ANOTHER.match(sentence, end)
        number = _NUMBER.match(sentence, another.end()) if another else None
        if not number:
            return ""
        end = number.end()


def _of_column(block: Block, at: int) -> str:
    """What a column of numbers is of, by its head."""
    if not block.heads:
        return ""
    column = min(block.text[:at].count("|") - 1, len(block.heads) - 1)
    cell = block.text.split("|")[column + 1].strip()
    if not _NUMBER.fullmatch(cell):  # a formula
        return ""
    heads = block.heads[column::-1]  # "at 84x84" stands behind what it is of
    head = next((head for head in heads if not head.startswith("at ")), "")
    return next((unit for unit in ("parameters", "GMACs", "MACs") if unit in head), "")


def blocks(path: Path) -> list[Block]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        texts = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
        return [
            Block(node.value, _starts(node.value, node.lineno), "")
            for node in texts
            if isinstance(node.value, str) and " " in node.value
        ]
    return list(_markdown(_hidden(text)))


def _hidden(text: str) -> str:
    """Markdown with blanks in place of what is no prose, so that lines stay where they are."""

    def blank(match: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", match[0])

    for pattern in (
        r"<!--[^>]*made by `make docs` -->.*?<!-- end -->",
        r"<!--.*?-->",
        r"^```.*?^```$",
        r"^    [^\n]*$",  # a formula
        r"(?<=\])\([^)\s]*\)",  # where a link goes
    ):
        text = re.sub(pattern, blank, text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"<img[^>]*?alt=\"([^\"]*)\"[^>]*>", lambda m: m[1].ljust(len(m[0])), text)


def _markdown(text: str) -> Iterator[Block]:
    section, heads, begun, starts = "", (), "", []

    def ended() -> Iterator[Block]:
        nonlocal begun, starts
        if begun.strip():
            yield Block(begun, tuple(starts), section, heads if begun.startswith("|") else ())
        begun, starts = "", []

    for number, line in enumerate(text.splitlines(), 1):
        row = line.startswith("|")
        if not line.strip() or row or re.match(r"#+ |\s*(?:[-*]|\d+\.) ", line):
            yield from ended()
        if heading := re.match(r"#{2,} +(.*)", line):
            section = heading[1].strip()
        if not row:
            heads = ()
        elif not heads:
            heads = tuple(cell.strip() for cell in line.strip("|").split("|"))
        starts.append((len(begun), number))
        begun += line.strip() + " "
    yield from ended()


def _starts(text: str, first: int) -> tuple[tuple[int, int], ...]:
    found = [0, *(match.end() for match in re.finditer("\n", text))]
    return tuple((start, first + i) for i, start in enumerate(found))
