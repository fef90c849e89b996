"""Numbers as a reader wants them: few digits, a unit, and nothing at all where nothing was measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from anychan._columns import points


def percent(share: float | None, digits: int = 1) -> str:
    """A share of 1 in percent, without the sign.

    Example:
        >>> percent(0.4412), percent(None)
        ('44.1', '')
    """
    return "" if share is None else f"{100 * share:.{digits}f}"


def interval(bounds: tuple[float, float]) -> str:
    """An interval of shares in percent.

    Example:
        >>> interval((0.4221, 0.4608))
        '42.2–46.1'
    """
    return f"{percent(bounds[0])}–{percent(bounds[1])}"


def difference(share: float) -> str:
    """A difference of shares in percentage points, with its sign, which what rounds to zero has not.

    Example:
        >>> difference(0.0123), difference(-0.02), difference(-0.0002)
        ('+1.2', '−2.0', '0.0')
    """
    return points(share).replace("-", "−")


def count(number: int | None) -> str:
    """A whole number with its thousands set apart.

    Example:
        >>> count(24000), count(None)
        ('24,000', '')
    """
    return "" if number is None else f"{number:,}"


def plural(number: float, noun: str) -> str:
    """A noun as it follows its number.

    Example:
        >>> plural(1, "seed"), plural(0, "seed")
        ('seed', 'seeds')
    """
    return noun if number == 1 else f"{noun}s"


def counted(number: float, noun: str) -> str:
    """A number with its noun.

    Example:
        >>> counted(1, "epoch"), counted(3, "epoch")
        ('1 epoch', '3 epochs')
    """
    return f"{number} {plural(number, noun)}"


def scaled(number: float | None) -> str:
    """A large count with three figures and k, M, G or T.

    Example:
        >>> [scaled(n) for n in (64, 11_202_162, 148_340_000, 999_999)]
        ['64', '11.2 M', '148 M', '1.00 M']
    """
    if number is None:
        return ""
    if number < 1000:
        return f"{number:.0f}"
    power = next(power for power in (1, 2, 3, 4) if number / 1000**power < 999.5 or power == 4)
    return f"{_three_figures(number / 1000**power)} {'kMGT'[power - 1]}"


def mebibytes(number: int | None) -> str:
    """Bytes in MiB.

    Example:
        >>> mebibytes(45_000_000)
        '42.9'
    """
    return "" if number is None else _three_figures(number / 2**20)


def milliseconds(number: float | None) -> str:
    """Milliseconds with three figures.

    Example:
        >>> milliseconds(0.31234), milliseconds(12.345), milliseconds(None)
        ('0.312', '12.3', '')
    """
    return "" if number is None else _three_figures(number)


def duration(seconds: float) -> str:
    """A duration in the two largest of its units.

    Example:
        >>> [duration(s) for s in (8.4, 75, 3725)]
        ['8.4 s', '1 min 15 s', '1 h 2 min']
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def listing(words: Sequence[str]) -> str:
    """Words in a sentence.

    Example:
        >>> listing(["R", "G", "B"])
        'R, G and B'
    """
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _three_figures(number: float) -> str:
    digits = 0 if number >= 99.95 else 1 if number >= 9.995 else 2 if number >= 0.9995 else 3
    return f"{number:.{digits}f}"


def short_names(classes: Sequence[str]) -> dict[str, str]:
    """Each class's name with only the first of its synonyms, where no other class begins alike.

    Example:
        >>> short_names(["tabby, tabby cat", "crane", "crane, derrick"])
        {'tabby, tabby cat': 'tabby', 'crane': 'crane', 'crane, derrick': 'crane, derrick'}
    """
    firsts = Counter(name.partition(",")[0] for name in classes)
    return {name: first if firsts[first := name.partition(",")[0]] == 1 else name for name in classes}
