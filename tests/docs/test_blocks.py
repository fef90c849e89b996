"""Every code block of the documentation runs, page by page, or says why it does not."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

import pytest
import yaml
from PIL import Image

from anychan.cli import COMMANDS, main
from anychan.models import _registry as networks
from anychan.nn import _registry as strategies

from ._blocks import DOCS, FEW, MARK, PAGES, PHOTOGRAPHS, SMALL, Block, blocks, commands, made_by, small

LANGUAGES = {"bash", "python", "text", "yaml"}  # text is not code
RUNS = {"runs/any": ["--strategy", "completed"], "runs/plain": []}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs that pages take for made: an any-channel one and a plain one, both evaluated."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("ANYCHAN_CACHE", str(folder / "cache"))
        for run, options in RUNS.items():
            assert main(small(["train", "--data", PHOTOGRAPHS, *options, "--out", run])) == 0
            assert main(["evaluate", run, "--no-cost", *(["--fill", "all"] if run == "runs/plain" else [])]) == 0
    return folder


def _page(name: str) -> list[Block]:
    return list(blocks(PAGES[name].read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", [name for name in PAGES if _page(name)])
def test_each_block_runs(name: str, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANYCHAN_CACHE", str(made / "cache"))
    for registry, known in ((strategies, "_STRATEGIES"), (networks, "_NETWORKS")):  # a page may add its own
        monkeypatch.setattr(registry, known, dict(getattr(registry, known)))
    page = _page(name)
    own = {run for block in page if block.language == "bash" and not block.mark for run in made_by(block.code)}
    for run in RUNS.keys() - own:
        shutil.copytree(made / run, tmp_path / run)
    Image.linear_gradient("L").convert("RGB").save(tmp_path / "photo.jpg")
    names: dict[str, object] = {}
    for block in page:
        if block.mark == "not run":
            continue
        if block.language == "python":
            padded = "\n" * block.line + block.code  # so that a traceback names the page's line
            exec(compile(padded, str(PAGES[name]), "exec"), names)
        elif block.language == "yaml":
            (tmp_path / block.title).write_text(block.code, encoding="utf-8")
        elif block.language == "bash":
            for words in commands(block.code):
                _run(words, block.mark == "parsed only", monkeypatch)


def _run(words: list[str], parsed_only: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert words[0] == "anychan", f"{words[0]!r} is no command of ours: mark the block, or teach this test to run it"
    with monkeypatch.context() as patch:
        if parsed_only:
            command = dataclasses.replace(COMMANDS[words[1]], run=lambda options: 0)
            patch.setitem(COMMANDS, words[1], command)
        assert main(words[1:] if parsed_only else small(words[1:])) == 0, " ".join(words)


@pytest.mark.parametrize("name", PAGES)
def test_each_block_is_of_a_kind_that_is_looked_at(name: str) -> None:
    text = PAGES[name].read_text(encoding="utf-8")
    for block in blocks(text):
        assert block.language in LANGUAGES, f"line {block.line}: a block is one of {', '.join(sorted(LANGUAGES))}"
        if block.language == "yaml":
            assert block.title, f"line {block.line}: a YAML block says which file it is, as in ```yaml title=..."
            yaml.safe_load(block.code)
    marked = [block for block in blocks(text) if block.mark]
    assert len(marked) == len(re.findall("<!-- *(?:not run|parsed only)", text)), "a mark stands before a block"
    assert all(len(block.reason.split()) >= 3 for block in marked), "a mark says why"


def test_what_is_looked_for_is_found() -> None:
    page = "<!-- not run: it needs a satellite -->\n```bash\nanychan train \\\n  --out runs/a  # comment\n```\n"
    (block,) = blocks(page + "\n    indented\n")
    assert (block.language, block.line, block.mark, block.reason) == ("bash", 2, "not run", "it needs a satellite")
    assert commands(block.code) == [["anychan", "train", "--out", "runs/a"]]
    assert made_by(block.code) == {"runs/a"}
    assert MARK.fullmatch("<!-- not run -->") is None


def test_commands_are_made_small() -> None:
    words = small(["train", "--data", "synthetic:bands=13,train=2000", "--epochs", "8"])
    assert words[2] == "synthetic:bands=13,train=64,val=16,test=32,size=16,classes=9,seed=0"
    assert words[-len(SMALL["train"]) :] == SMALL["train"]
    assert "bands=3,train=64" in small(["data", "check", "photographs.zip"])[2]
    assert FEW.keys() == {"train", "val", "test", "size"}
    assert DOCS.is_dir()
