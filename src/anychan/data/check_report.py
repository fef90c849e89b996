"""What a check of data found, for people and for programs."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from typing import Any

from anychan.data.findings import Finding

_NAMED_OF_EACH_KIND = 5
_CLASSES_SHOWN = 100


@dataclass(frozen=True)
class CheckReport:
    """The outcome of ``check_dataset``.

    Args:
        name: of the data set.
        layout: how the data are laid out.
        classes: a name for each label.
        counts: for each split, the number of images listed of each label.
        channels: names of those of every image.
        kept_as: how their pixels are kept: the type of numbers, with scale and offset where there are some.
        lacking: by channel the number of files without a value in it, of those that some lack.
        findings: all that was found; their kinds are in ``anychan.data.findings``.
        files: number of different files that are listed.
        decoded: number of these that were decoded to the end.
        seconds: time it took.
    """

    name: str
    layout: str
    classes: tuple[str, ...]
    counts: dict[str, tuple[int, ...]]
    channels: tuple[str, ...]
    kept_as: str
    lacking: dict[str, int]
    findings: tuple[Finding, ...]
    files: int
    decoded: int
    seconds: float

    @property
    def unfit(self) -> bool:
        """Whether training would refuse the data as they are."""
        return any(finding.unfit for finding in self.findings)

    @property
    def kinds(self) -> dict[str, int]:
        """How often each kind was found, the unfit ones first."""
        unfit = {finding.kind: finding.unfit for finding in self.findings}
        counted = Counter(finding.kind for finding in self.findings)
        return dict(sorted(counted.items(), key=lambda item: (not unfit[item[0]], -item[1], item[0])))

    def to_dict(self) -> dict[str, Any]:
        """A record that JSON can hold, with every finding."""
        return {
            "schema": 1,
            "kind": "data check",
            "name": self.name,
            "layout": self.layout,
            "unfit": self.unfit,
            "files": self.files,
            "decoded": self.decoded,
            "seconds": round(self.seconds, 3),
            "splits": {split: sum(counts) for split, counts in self.counts.items()},
            "classes": [
                {"label": label, "class": name, **{split: counts[label] for split, counts in self.counts.items()}}
                for label, name in enumerate(self.classes)
            ],
            "channels": list(self.channels),
            "kept_as": self.kept_as,
            "lacking": self.lacking,
            "kinds": self.kinds,
            "findings": [asdict(finding) for finding in self.findings],
        }

    def table(self) -> str:
        """Text for people: counts, then the first few findings of each kind."""
        lines = [
            f"{self.name}: {self.layout}",
            f"{self.decoded:,} of {self.files:,} files decoded in {self.seconds:.1f} s",
            "splits: " + ", ".join(f"{split} {sum(counts):,}" for split, counts in self.counts.items()),
            f"channels: {', '.join(self.channels)}; kept as {self.kept_as}",
            *self._lacking_rows(),
            f"classes: {len(self.classes)}",
            "",
            *self._class_rows(),
            *self._finding_rows(),
            "",
            "unfit for training" if self.unfit else "fit for training",
        ]
        # A file's name may hold bytes that are no text.
        return "\n".join(lines).encode(errors="backslashreplace").decode()

    def _lacking_rows(self) -> list[str]:
        told = ", ".join(f"{name} in {count:,}" for name, count in self.lacking.items())
        return [f"files without a channel: {told}"] if told else []

    def _class_rows(self) -> list[str]:
        splits = list(self.counts)
        shown = range(min(len(self.classes), _CLASSES_SHOWN))
        width = max((len(_short(self.classes[label])) for label in shown), default=0)
        head = f"{'label':>5}  {'class':<{width}}" + "".join(f"{split:>8}" for split in splits)
        rows = [
            f"{label:>5}  {_short(self.classes[label]):<{width}}"
            + "".join(f"{self.counts[split][label]:>8}" for split in splits)
            for label in shown
        ]
        more = len(self.classes) - len(shown)
        return [head, *rows, *([f"       and {more:,} more classes (--json lists all)"] if more else [])]

    def _finding_rows(self) -> list[str]:
        if not self.findings:
            return ["", "nothing found that is odd"]
        by_kind: dict[str, list[Finding]] = defaultdict(list)
        for finding in self.findings:
            by_kind[finding.kind].append(finding)
        rows = []
        for kind, count in self.kinds.items():
            found = by_kind[kind]
            rows += ["", f"{kind}: {count:,}{' (unfit for training)' if found[0].unfit else ''}"]
            for finding in found[:_NAMED_OF_EACH_KIND]:
                where = f"[{finding.split}] " if finding.split else ""
                rows.append(f"  {where}{finding.path}: {finding.reason}")
            if count > _NAMED_OF_EACH_KIND:
                rows.append(f"  and {count - _NAMED_OF_EACH_KIND:,} more (--json lists all)")
        return rows


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."
