"""The command line, driven as a user drives it: the main job, bad input, help."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from anychan.cli import COMMANDS, main
from anychan.cli._around import PROMISES
from anychan.evaluation import FILLS
from anychan.nn import Promises, list_strategies
from anychan.training import InterruptedRunError, NotFiniteError

DATA = "synthetic:bands=3,classes=4,train=64,val=16,test=32,size=16"
SMALL = ["--data", DATA, "--model", "wide4", "--model-options.width", "3", "--image-size", "16", "--epochs", "1"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> tuple[Path, Path]:
    """An any-channel run and a plain one, trained and evaluated by the command line."""
    folder = tmp_path_factory.mktemp("runs")
    any_channel, plain = folder / "any", folder / "plain"
    chosen = ["--strategy", "completed", "--channel-sampling", "hierarchical"]
    assert main(["train", *SMALL, *chosen, "--out", str(any_channel)]) == 0
    assert main(["train", *SMALL, "--out", str(plain)]) == 0
    assert main(["evaluate", str(any_channel), "--no-cost"]) == 0
    assert main(["evaluate", str(plain), "--fill", "all", "--no-cost"]) == 0
    return any_channel, plain


def _json(capsys) -> dict:
    return json.loads(capsys.readouterr().out)


def test_evaluate_prints_and_returns_every_subset(runs, capsys):
    assert main(["evaluate", str(runs[0]), "--no-cost", "--json"]) == 0
    assert [r["subset"] for r in _json(capsys)["results"]] == ["RGB", "RG", "RB", "GB", "R", "G", "B"]
    assert main(["evaluate", str(runs[0]), "--channels", "RB", "BG", "--no-cost"]) == 0
    assert "RB" in capsys.readouterr().out


def test_a_plain_run_is_evaluated_on_its_own_channels_where_none_are_named(runs, tmp_path, capsys):
    plain = shutil.copytree(runs[1], tmp_path / "plain")
    shutil.rmtree(plain / "evaluation")
    assert main(["evaluate", str(plain), "--channels", "all", "--no-cost"]) == 2
    assert "takes all of RGB, not RG: name --fill" in capsys.readouterr().err
    assert main(["evaluate", str(plain), "--no-cost", "--json"]) == 0
    assert [(r["subset"], r["fill"]) for r in _json(capsys)["results"]] == [("RGB", "")]


def test_compare_pairs_the_runs(runs, capsys):
    assert main(["compare", *map(str, runs), "--json"]) == 0
    subsets = {c["subset"] for c in _json(capsys)["comparisons"]}
    assert subsets == {"RGB", "RG", "RB", "GB", "R", "G", "B"}
    assert main(["compare", *map(str, runs), "--channels", "R"]) == 0
    assert "verdict" in capsys.readouterr().out


def test_report_is_one_page(runs, tmp_path, capsys):
    assert main(["report", *map(str, runs), "--out", str(tmp_path / "page.html"), "--title", "Bands & us"]) == 0
    assert "<h1>Bands &amp; us</h1>" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert capsys.readouterr().out.strip() == str(tmp_path / "page.html")
    assert "<html" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_report_begins_with_its_abstract(runs, tmp_path, capsys):
    said = tmp_path / "abstract.txt"
    said.write_text("We ask\n`one` *more* thing & <b>.\n\n\nIt is 50 % so.\n", encoding="utf-8")
    for name, told in (
        (
            "page.html",
            "<p>We ask <code>one</code> <em>more</em> thing &amp; &lt;b&gt;.</p>\n<p>It is 50\u00a0% so.</p>",
        ),
        ("page.md", "\n\nWe ask `one` *more* thing & \\<b\\>.\n\nIt is 50 % so.\n\n"),
    ):
        out = tmp_path / name
        assert main(["report", str(runs[0]), "--out", str(out), "--abstract", str(said)]) == 0
        assert told in out.read_text(encoding="utf-8")
    said.write_bytes(b"\xff\xfe")
    assert main(["report", str(runs[0]), "--out", str(tmp_path / "b.html"), "--abstract", str(said)]) == 2
    assert f"{said} is no text in UTF-8" in capsys.readouterr().err
    assert main(["report", str(runs[0]), "--out", str(tmp_path / "b.html"), "--abstract", str(tmp_path / "no")]) == 2
    assert not (tmp_path / "b.html").exists()


def test_profile_takes_names_runs_and_files(runs, capsys):
    for model, channels, size in (
        ("wide4", "RG", 32),
        (str(runs[0]), "G", 16),
        (str(runs[0] / "model.safetensors"), "G", 16),
    ):
        assert (
            main(["profile", model, "--channels", channels, "--image-size", str(size), "--batch-size", "2", "--json"])
            == 0
        )
        found = _json(capsys)
        assert (found["depth"], found["channels"], found["image_size"]) == (4, channels, size)
    assert main(["profile", str(runs[0]), "--batch-size", "2"]) == 0
    assert "depth" in capsys.readouterr().out
    assert main(["profile", "wide4", "--num-classes", "-1"]) == 2
    assert "--num-classes -1 must be 1 or more" in capsys.readouterr().err
    for nothing, said in (("resnet19", "packaged models are"), (str(runs[0] / "config.yaml"), "is no model file")):
        assert main(["profile", nothing]) == 2
        assert said in capsys.readouterr().err


def test_profile_records_the_cost_of_evaluated_runs(runs, tmp_path, capsys):
    copies = [shutil.copytree(run, tmp_path / run.name) for run in runs]
    (copies[1] / "model.safetensors").unlink()
    words = ["profile", *map(str, copies), "--record", "--batch-size", "2"]
    assert main([*words, "--json"]) == 0
    any_channel, plain = _json(capsys)
    assert (any_channel["measured"], any_channel["weights"]) == (["RGB", "RG", "RB", "GB", "R", "G", "B"], "own")
    assert (plain["measured"], plain["weights"]) == (["RGB"], "random")
    rows = json.loads((copies[1] / "evaluation/test.json").read_text())["results"]
    assert [row["subset"] for row in rows if row["cost"]] == ["RGB"]
    assert main(words) == 0
    assert "RGB had a cost, which is kept (--replace measures it again)" in capsys.readouterr().out
    assert main([*words, "--replace"]) == 0
    assert "cost of RGB measured on cpu, with random weights, as its own are not there" in capsys.readouterr().out


def test_data_check_and_its_exit_codes(tmp_path, capsys):
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            Image.new("RGB", (8, 8), (len(split), len(name), ord(name[0]))).save(folder / "a.png")
    main(["data", "check", str(tmp_path)])
    assert main(["data", "check", str(tmp_path), "--json"]) == 0
    capsys.readouterr()
    (tmp_path / "train" / "cat" / "b.png").write_bytes(b"")
    assert main(["data", "check", str(tmp_path)]) == 1
    assert "train/cat/b.png" in capsys.readouterr().out


def test_list(capsys):
    assert main(["list", "strategies", "--json"]) == 0
    records = _json(capsys)
    assert [record["name"] for record in records] == ["plain", *list_strategies()]
    assert {tuple(record) for record in records} == {("name", "summary", *PROMISES)}
    assert tuple(PROMISES) == tuple(field.name for field in dataclasses.fields(Promises))
    assert all(record["summary"] and "\n" not in record["summary"] for record in records)
    promised = {record["name"]: [promise for promise in PROMISES if record[promise]] for record in records}
    assert promised["plain"] == ["any_order", "exact", "foldable", "tells_zeros", "merges"]
    assert promised["sliced"] == ["subsets", *promised["plain"]]
    assert main(["list", "strategies"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    for record, row in zip(records, rows, strict=False):
        marks = [row[head.index(promise.replace("_", " ")) :].startswith("yes") for promise in PROMISES]
        assert (row.split()[0], marks) == (record["name"], [record[promise] for promise in PROMISES])
    assert main(["list", "models", "--timm", "--json"]) == 0
    assert {"wide6", "resnet18"} <= set(_json(capsys))
    assert main(["list", "fills", "--json"]) == 0
    assert _json(capsys) == list(FILLS)
    assert main(["list", "fills"]) == 0
    told = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert (list(told), told["zeros"]) == (list(FILLS), "black")
    assert told["zeros-rescaled"].startswith("black, and the planes that are there times C / S")


def test_a_plain_run_is_adapted_and_compared_with_a_specialist(runs, tmp_path, capsys):
    out = tmp_path / "completed"
    assert main(["adapt", str(runs[1] / "model.json"), "--out", str(out), "--images", "8"]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    for run in (out, runs[1]):
        assert main(["evaluate", str(run), "--channels", "RGB", "--no-cost", "--no-pictures"]) == 0
    capsys.readouterr()
    assert main(["compare", str(out), str(runs[1]), "--specialists", "--json"]) == 0
    assert [row["subset"] for row in _json(capsys)["rows"]] == ["RGB"]


def test_a_recipe_its_overrides_and_resuming(runs, tmp_path, capsys):
    recipe = runs[0] / "config.yaml"
    again = ["--config", str(recipe), "--out", str(tmp_path / "again"), "--optimizer.learning-rate", "5e-4"]
    assert main(["train", *again]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "again")
    config = yaml.safe_load((tmp_path / "again" / "config.yaml").read_text())
    assert config["optimizer"]["learning_rate"] == 5e-4
    assert config["strategy"] == "completed"
    assert main(["train", *again]) == 2
    assert str(tmp_path / "again") in capsys.readouterr().err
    assert main(["train", *again, "--resume"]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ablate", "no.yaml", "--data", "synthetic", "--out", "{new}"], "error: no.yaml: No such file or directory"),
        (["trian"], "unknown command 'trian'; there are train, sweep, ablate, study, reproduce, adapt, evaluate"),
        ([], "usage: anychan"),
        (["train"], "error: the following arguments are required: data, out"),
        (
            ["train", *SMALL, "--out", "{new}", "--epochs", "many"],
            "key \"epochs\": Expected a <class 'int'>. Got value: many",
        ),
        (["train", *SMALL, "--out", "{new}", "--epochs", "0"], "error: epochs 0 must be 1 or more"),
        (
            ["train", *SMALL, "--out", "{new}", "--channel-sampling", "some"],
            'key "channel-sampling": Does not validate',
        ),
        (["train", *SMALL, "--out", "{new}", "--learning-rate", "1"], "unrecognized arguments: --learning-rate 1"),
        (["train", *SMALL, "--out", "{new}", "--model", "resnet19"], "unknown model 'resnet19'"),
        (["train", *SMALL, "--out", "{new}", "--channels", "RX"], "unknown channel 'X'"),
        (
            ["train", "--data", "{new}/none.zip", "--out", "{new}"],
            "error: no data at {new}/none.zip: give a folder, a zip",
        ),
        (
            ["train", "--data", "synthetic:bnads=3", "--out", "{new}"],
            "error: synthetic: unknown option 'bnads'; there are",
        ),
        (["train", "--config", "{new}/none.yaml", "--out", "{new}"], "File does not exist: '{new}/none.yaml'"),
        (["evaluate", "{new}/none"], "error: {new}/none is no run folder"),
        (["evaluate", "{any}/model.safetensors"], "is no run folder"),
        (["evaluate", "{any}", "--channels", "RX"], "unknown channel 'X'"),
        (["evaluate", "{any}", "--split", "tset"], "has no split 'tset'; there are train, val, test"),
        (
            ["evaluate", "{any}", "--fill", "black"],
            "error: unknown fill 'black'; there are zeros, zeros-rescaled, mean",
        ),
        (["evaluate", "{plain}", "--channels", "R", "--replace"], "a plain model takes all of RGB, not R: name --fill"),
        (["compare", "{any}", "{new}/none"], "error: {new}/none/evaluation/test.json is not there: run `anychan"),
        (
            ["compare", "{any}", "{plain}", "--split", "val"],
            "error: {any}/evaluation/val.json is not there: run `anychan",
        ),
        (["compare", "{any}"], "1 runs are given; two are compared"),
        (["compare", "{any}", "{plain}", "--specialists", "--channels", "R"], "--channels does not go with"),
        (["adapt", "{any}", "--out", "{new}", "--strategy", "sliced"], "only a plain one can be given 'sliced'"),
        (["adapt", "{plain}", "--out", "{any}"], "error: {any} is there already; choose another folder"),
        (["adapt", "{plain}"], "error: the following arguments are required: --out"),
        (["report", "{new}/none"], "error: {new}/none: there is no such run folder"),
        (["profile", "resnet19"], "unknown model 'resnet19'"),
        (["profile", "{any}", "--channels", "X"], "unknown channel 'X'"),
        (["profile", "{any}", "{plain}"], "2 models are given; one is profiled, or evaluated runs with --record"),
        (["profile", "{any}", "--replace"], "--replace needs --record"),
        (["profile", "{any}", "--num-classes", "3"], "--num-classes goes with a network's name"),
        (["profile", "{any}", "--image-size", "0"], "error: image_size 0 is not a positive whole number of pixels"),
        (["list", "fills", "--timm"], "--timm goes with models, not fills"),
        (["profile", "{any}", "--split", "val"], "--split needs --record"),
        (["profile", "{any}", "--record", "--image-size", "0"], "--image-size does not go with --record"),
        (["profile", "{any}", "--record", "--split", "val"], "val.json is not there: run `anychan evaluate"),
        (["profile", "{any}", "--record", "--device", "abacus"], "device 'abacus' cannot be used"),
        (["profile", "wide4", "--record"], "wide4 is no run folder"),
        (["data", "check", "{new}/none"], "error: no data at {new}/none: give a folder, a zip"),
        (["data", "mend", "{new}"], "argument action: invalid choice: 'mend' (choose from"),
        (["list", "colours"], "argument what: invalid choice: 'colours' (choose from"),
    ],
)
def test_a_users_error_is_named_and_exits_with_2(words, said, runs, tmp_path, capsys):
    places = {"new": tmp_path / "new", "any": runs[0], "plain": runs[1]}
    assert main([word.format(**places) for word in words]) == 2
    output = capsys.readouterr()
    assert said.format(**places) in output.err
    assert "Traceback" not in output.err
    assert not output.out
    assert not (tmp_path / "new").exists(), "a refused run left something behind"


@pytest.mark.parametrize("told", ["augmentation: null\n", "optimizer: 3\n"])
def test_a_group_of_settings_that_is_none_is_named(told, tmp_path, capsys):
    (tmp_path / "recipe.yaml").write_text(told)
    assert main(["train", *SMALL, "--config", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "new")]) == 2
    name, value = told.replace("null", "None").split(": ")
    assert capsys.readouterr().err == (
        f"anychan: error: {name} {value.strip()} must be settings by their names, or left out\n"
    )


def test_an_error_is_one_line(tmp_path, capsys):
    assert main(["evaluate", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory."), MemoryError(), RuntimeError("CPU: can't allocate memory: ...")],
    ids=["cuda", "numpy", "cpu"],
)
def test_what_does_not_fit_into_memory_is_said_in_one_line(error, monkeypatch, capsys):
    def run(options):
        raise error

    for words, said in ((["predict", "any", "a.jpg"], ": a smaller --batch-size may do"), (["serve"], "")):
        monkeypatch.setitem(COMMANDS, words[0], dataclasses.replace(COMMANDS[words[0]], run=run))
        assert main(words) == 2
        assert capsys.readouterr().err == f"anychan: error: out of memory{said}\n"


@pytest.mark.parametrize(("error", "code"), [(InterruptedRunError, 130), (NotFiniteError, 1)])
def test_an_interrupted_training_exits_as_other_commands_do(error, code, tmp_path, monkeypatch, capsys):
    def stopped(config):
        raise error("stopped in epoch 2; go on with --resume")

    monkeypatch.setattr("anychan.training.train", stopped)
    assert main(["train", *SMALL, "--out", str(tmp_path / "run")]) == code
    assert capsys.readouterr().err == "anychan: stopped in epoch 2; go on with --resume\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_examples_with_options_that_exist(name, capsys):
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert "examples:" in text
    body, examples = text.split("examples:")
    known = set(body.replace(",", " ").replace("[", " ").replace("]", " ").split())
    used = {
        word for word in examples.split() if word.startswith("--") and word not in ("--standalone", "--nproc-per-node")
    }
    assert used <= known
    assert "_" not in "".join(used)


def test_help_waits_for_nothing_heavy():
    script = """
import sys
from anychan.cli import main
assert main(["--help"]) == 0 and main(["train", "--help"]) == 0 and main(["evaluate", "--help"]) == 0
heavy = {"torch", "timm", "torchvision", "numpy", "matplotlib", "pyarrow", "scipy"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else 0)
"""
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL, timeout=60)


def test_what_is_printed_can_hold_any_name(monkeypatch):
    monkeypatch.delenv("PYTHONIOENCODING", raising=False)
    for chosen, encoding, said in (("", "utf-8", "中 \\udce9"), ("cp1252:replace", "cp1252", "? ?")):
        monkeypatch.setenv("PYTHONIOENCODING", chosen)
        stdout = io.TextIOWrapper(io.BytesIO(), "cp1252", "replace" if chosen else "strict")  # of Windows
        monkeypatch.setattr(sys, "stdout", stdout)
        assert main(["--version"]) == 0
        print("中 \udce9", end="", flush=True)
        assert stdout.buffer.getvalue().decode(encoding).splitlines()[1] == said


def test_version_and_module(capsys):
    assert main(["--version"]) == 0
    version = capsys.readouterr().out
    found = subprocess.run([sys.executable, "-m", "anychan", "--version"], capture_output=True, text=True, check=True)
    assert found.stdout == version
