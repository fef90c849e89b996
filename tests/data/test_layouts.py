"""Data sets are found in every layout; lists that cannot be trusted are refused by file and line."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from anychan.data import Sample, open_dataset
from anychan.data.layouts import inspect_layout

Files = dict[str, bytes]
Pack = Callable[[Files], Path]


def test_lists_at_the_root(pack: Pack, photographs: Files) -> None:
    dataset = open_dataset(str(pack(photographs)))
    assert {split: len(samples) for split, samples in dataset.splits.items()} == {"train": 4, "val": 2, "test": 2}
    assert dataset.splits["train"][1] == Sample("images/n01/train_1.JPEG", 1)
    assert dataset.classes == ("n00", "n01")
    assert dataset.channels.names == ("R", "G", "B")


def test_the_original_archive_wraps_all_in_images(pack: Pack, photographs: Files) -> None:
    files = {f"images/{path}": content for path, content in photographs.items()}
    files["images/validation.txt"] = files.pop("images/val.txt")
    dataset = open_dataset(pack(files))
    assert dataset.splits["val"][0] == Sample("images/images/n00/val_0.JPEG", 0)
    assert dataset.source.read(dataset.splits["val"][0].path) == photographs["images/n00/val_0.JPEG"]


def test_windows_line_ends_mark_blank_lines_spaces_and_tabs(pack: Pack) -> None:
    text = "\ufeffimages/a b.JPEG 0\r\n\r\nimages/c.JPEG\t1\r\n  \r\n./images//d\u2028e.JPEG   0"
    dataset = open_dataset(pack({"train.txt": text.encode()}))
    assert [(s.path, s.label) for s in dataset.splits["train"]] == [
        ("images/a b.JPEG", 0),
        ("images/c.JPEG", 1),
        ("images/d\u2028e.JPEG", 0),
    ]
    assert dataset.classes == ("0", "1")  # their folder does not tell them apart


def test_names_of_classes(pack: Pack, photographs: Files) -> None:
    names = b"n00\tgoldfish, Carassius\r\ntrilobite\r\nn02\tnever shown\r\n\r\n"
    assert open_dataset(pack({**photographs, "classes.txt": names})).classes == (
        "goldfish, Carassius",
        "trilobite",
        "never shown",
    )


def test_a_missing_label_leaves_the_number_as_its_name(pack: Pack) -> None:
    assert open_dataset(pack({"train.txt": b"x/a.jpg 0\nz/b.jpg 2\n"})).classes == ("x", "1", "z")


@pytest.mark.parametrize(
    ("line", "kind", "says"),
    [
        ("images/a.JPEG", "bad-line", "no label"),
        ("images/a.JPEG seven", "bad-line", "'seven'"),
        ("images/a.JPEG 1.0", "bad-line", "'1.0'"),
        ("images/a.JPEG -1", "bad-line", "-1 is negative"),
        ("images/a.JPEG,1", "bad-line", "no label"),
        ("images/a.JPEG " + "9" * 40, "bad-line", "whole number"),
        ("images/a.JPEG ٣", "bad-line", "whole number"),
        ("images/a.JPEG 100000", "label-out-of-range", "99999"),
        ("../a.JPEG 1", "outside", "'..'"),
        ("/etc/passwd 1", "outside", "absolute"),
        ("images\\a.JPEG 1", "outside", "backslash"),
        ("images/b.JPEG 1", "two-labels", "label 0 in line 1 of train.txt and 1 in line 2"),
    ],
)
def test_lines_that_cannot_be_trusted(pack: Pack, line: str, kind: str, says: str) -> None:
    path = pack({"train.txt": f"images/b.JPEG 0\n{line}\n".encode()})
    (finding,) = inspect_layout(path)[1]
    assert (finding.kind, finding.unfit, finding.split) == (kind, True, "train")
    assert says in finding.reason
    with pytest.raises(ValueError, match=r"train\.txt.*line 2|line 2 .*train\.txt") as caught:
        open_dataset(path)
    assert says in str(caught.value)


def test_a_line_with_a_label_that_classes_txt_does_not_name(pack: Pack) -> None:
    path = pack({"train.txt": b"a/a.jpg 0\na/b.jpg 2\n", "classes.txt": b"one\ntwo\n"})
    with pytest.raises(ValueError, match=r"a/b\.jpg: has the label 2 in line 2 of train\.txt, but labels go to 1"):
        open_dataset(path)


def test_several_faults_are_counted(pack: Pack) -> None:
    with pytest.raises(ValueError, match="and 2 more"):
        open_dataset(pack({"train.txt": b"a\nb\nc\n"}))


def test_one_path_in_two_splits_or_twice_is_reported_but_opens(pack: Pack) -> None:
    path = pack({"train.txt": b"a/a.jpg 0\na/a.jpg 0\n", "test.txt": b"./a/a.jpg 0\n"})
    assert [(f.kind, f.split, f.unfit) for f in inspect_layout(path)[1]] == [
        ("listed-twice", "train", False),
        ("two-splits", "test", False),
    ]
    dataset = open_dataset(path)
    assert len(dataset.splits["train"]) == 2
    assert dataset.description["in_two_splits"] == 1
    assert "in_two_splits" not in open_dataset(pack({"test.txt": b"a/b.jpg 0\n"})).description


def test_one_path_with_two_labels_in_two_splits(pack: Pack) -> None:
    findings = inspect_layout(pack({"train.txt": b"a/a.jpg 0\n", "test.txt": b"a/a.jpg 1\n"}))[1]
    assert {finding.kind for finding in findings} == {"two-labels", "two-splits"}


def test_a_blank_line_among_the_classes(pack: Pack) -> None:
    with pytest.raises(ValueError, match=r"classes\.txt: line 2 is blank"):
        open_dataset(pack({"train.txt": b"a/a.jpg 0\n", "classes.txt": b"one\n\nthree\n"}))


@pytest.mark.parametrize("content", ["a/a.jpg 0\n".encode("utf-16"), b"a/\xff\xfe.jpg 0\n"])
def test_lists_that_are_no_text(pack: Pack, content: bytes) -> None:
    with pytest.raises(ValueError, match=r"train\.txt: is not text in UTF-8"):
        open_dataset(pack({"train.txt": content}))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_lists_that_are_no_files(folder: Pack) -> None:
    root = folder({})
    os.mkfifo(root / "train.txt")
    with pytest.raises(ValueError, match=r"train\.txt: is a named pipe"):
        open_dataset(root)


def test_ambiguous_lists(pack: Pack) -> None:
    with pytest.raises(ValueError, match=r"two lists for the split val: val\.txt, validation\.txt"):
        open_dataset(pack({"val.txt": b"", "validation.txt": b""}))


def test_lists_in_several_folders(pack: Pack) -> None:
    with pytest.raises(ValueError, match=r"several folders \(a, b\)"):
        open_dataset(pack({"a/train.txt": b"", "b/train.txt": b""}))


def test_one_folder_a_class_with_splits(pack: Pack) -> None:
    names = ["train/cat/1.jpg", "train/dog/deeper/2.PNG", "validation/cat/3.jpeg", "test/dog/4.webp", "test/newt/5.jpg"]
    dataset = open_dataset(pack({f"wrap/{name}": b"x" for name in [*names, "train/cat/notes.txt", "train/loose.jpg"]}))
    assert dataset.classes == ("cat", "dog", "newt")
    assert list(dataset.splits) == ["train", "val", "test"]
    assert dataset.splits["train"] == [Sample("wrap/train/cat/1.jpg", 0), Sample("wrap/train/dog/deeper/2.PNG", 1)]
    assert dataset.splits["val"] == [Sample("wrap/validation/cat/3.jpeg", 0)]
    assert dataset.splits["test"] == [Sample("wrap/test/dog/4.webp", 1), Sample("wrap/test/newt/5.jpg", 2)]
    assert dataset.layout == "one folder a class"


def test_what_is_left_out_of_folders_is_said(pack: Pack) -> None:
    files = {"train/cat/1.jpg": b"x", "train/cat/notes.txt": b"x", "train/loose.jpg": b"x", "extra/2.jpg": b"x"}
    findings = inspect_layout(pack({**files, "train/cat/.DS_Store": b"x", "__MACOSX/train/cat/._1.jpg": b"x"}))[1]
    assert {(f.path, f.kind, f.unfit) for f in findings} == {
        ("train/cat/notes.txt", "ignored", False),
        ("train/loose.jpg", "ignored", False),
        ("extra/2.jpg", "ignored", False),
    }


@pytest.mark.parametrize(
    ("files", "link", "unfit"),
    [
        (("train/cat/1.jpg", "train/dog/2.jpg"), "train/newt", True),
        (("train/cat/1.jpg", "train/dog/2.jpg"), "train/cat/more", True),
        (("train/cat/1.jpg", "train/dog/2.jpg"), "val", True),
        (("train/cat/1.jpg", "train/dog/2.jpg"), "raw", False),
        (("cat/1.jpg", "dog/2.jpg"), "newt", True),
        (("notes.txt",), "newt", True),
    ],
)
def test_a_linked_folder_of_images_is_refused(folder: Pack, files: tuple[str, ...], link: str, unfit: bool) -> None:
    root = folder(dict.fromkeys(files, b"x"))
    (root.parent / "elsewhere").mkdir()
    (root / link).symlink_to(root.parent / "elsewhere", target_is_directory=True)
    with pytest.raises(ValueError, match="is a symbolic link") if unfit else nullcontext() as refused:
        open_dataset(root)
    if refused is not None:
        assert f"{link}/: is a symbolic link to a folder, which is not followed" in str(refused.value)
    if len(files) > 1:
        found = [(f.path, f.kind, f.unfit) for f in inspect_layout(root)[1] if f.path.endswith("/")]
        assert found == [(f"{link}/", "linked" if unfit else "ignored", unfit)]


def test_one_folder_a_class_without_splits_is_split_alike_everywhere(pack: Pack) -> None:
    files = {f"{name}/{i:02}.jpg": os.urandom(9) for name in ("cat", "dog") for i in range(20)} | {"newt/0.jpg": b"x"}
    dataset = open_dataset(root := pack(files))
    assert {split: len(samples) for split, samples in dataset.splits.items()} == {"train": 33, "val": 4, "test": 4}
    assert "80:10:10" in dataset.description["layout"]
    everything = [sample.path for samples in dataset.splits.values() for sample in samples]
    assert sorted(everything) == sorted(files)
    assert [s.path for s in dataset.splits["test"]] == ["cat/02.jpg", "cat/07.jpg", "dog/01.jpg", "dog/09.jpg"]
    assert dataset.splits == open_dataset(root).splits


def test_a_single_class(pack: Pack) -> None:
    assert open_dataset(pack({f"cat/{i}.jpg": b"x" for i in range(3)})).classes == ("cat",)


def test_two_folders_for_one_split(pack: Pack) -> None:
    with pytest.raises(ValueError, match="two folders for one split"):
        open_dataset(pack({"train/a/1.jpg": b"", "val/a/1.jpg": b"", "valid/a/1.jpg": b""}))


@pytest.mark.parametrize("names", [("Train", "Test"), ("Training", "Testing"), ("TRAIN", "TEST")])
def test_split_folders_in_any_capitals(pack: Pack, names: tuple[str, str]) -> None:
    dataset = open_dataset(pack({f"{name}/{of}/1.jpg": b"x" for name in names for of in ("cat", "dog")}))
    assert dataset.classes == ("cat", "dog")
    assert {split: len(samples) for split, samples in dataset.splits.items()} == {"train": 2, "test": 2}


def test_split_folders_by_unknown_names_are_no_classes(pack: Pack) -> None:
    files = {f"{name}/{of}/1.jpg": b"x" for name in ("development", "holdout") for of in ("cat", "dog")}
    with pytest.raises(ValueError, match=r"in each of development, holdout, as splits have .*: call splits train, val"):
        open_dataset(pack(files))


@pytest.mark.parametrize("names", [("train", "Val", "Test"), ("train", "validation", "testing"), ("train", "TEST")])
def test_split_folders_in_any_capitals_beside_train(pack: Pack, names: tuple[str, ...]) -> None:
    dataset = open_dataset(pack({f"{name}/{of}/1.jpg": b"x" for name in names for of in ("cat", "dog")}))
    assert {split: len(samples) for split, samples in dataset.splits.items()} == {
        name.lower().removesuffix("ing").replace("validation", "val"): 2 for name in names
    }


@pytest.mark.parametrize("names", [("train", "dev", "test"), ("train", "holdout"), ("train", "val", "Test", "eval")])
def test_split_folders_of_unknown_names_beside_train_are_refused(pack: Pack, names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"has the same folders in (dev|holdout|Test, eval) as in train: call splits"):
        open_dataset(pack({f"{name}/{of}/1.jpg": b"x" for name in names for of in ("cat", "dog")}))


def test_other_folders_beside_train_are_left_out(pack: Pack) -> None:
    dataset, findings = inspect_layout(pack({"train/cat/1.jpg": b"x", "val/cat/2.jpg": b"x", "extra/raw/3.jpg": b"x"}))
    assert {split: len(samples) for split, samples in dataset.splits.items()} == {"train": 1, "val": 1}
    assert [finding.path for finding in findings] == ["extra/raw/3.jpg"]


def test_a_class_among_others_may_be_called_train_in_small_letters(pack: Pack) -> None:
    assert open_dataset(pack({f"{of}/{i}.jpg": b"x" for of in ("bus", "train") for i in range(3)})).classes == (
        "bus",
        "train",
    )


@pytest.mark.parametrize("inside", ["images/1.jpg", "{}s/1.jpg"])
def test_folders_within_classes_are_no_splits_for_that(pack: Pack, inside: str) -> None:
    files = {f"{name}/{inside.format(name)}": b"x" for name in ("cat", "dog")}
    assert open_dataset(pack(files)).classes == ("cat", "dog")


def test_classes_with_the_same_folders_are_no_splits(pack: Pack) -> None:
    files = {f"{name}/{side}/1.jpg": b"x" for name in ("healthy", "ill") for side in ("left", "right")}
    assert open_dataset(pack(files)).classes == ("healthy", "ill")


def test_a_class_of_vehicles_may_be_called_train(pack: Pack) -> None:
    vehicles = {f"{name}/{place}1.jpg": b"x" for name in ("Bus", "Train") for place in ("", "new/")}
    assert open_dataset(pack(vehicles)).classes == ("Bus", "Train")


def test_what_is_no_data_set(pack: Pack, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no data set: there is no train"):
        open_dataset(pack({"readme.md": b"hello", "a/b.csv": b"1,2"}))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        open_dataset(tmp_path / "nowhere")


def test_the_description_tells_data_apart_and_names_no_folder_of_the_machine(pack: Pack, photographs: Files) -> None:
    root = pack(photographs)
    description = open_dataset(root).description
    assert description["name"] == root.name
    assert str(root.parent) not in str(description)
    assert description["splits"] == {"train": 4, "val": 2, "test": 2}
    changed = pack({**photographs, "images/n00/train_0.JPEG": photographs["images/n00/train_0.JPEG"] + b"\0"})
    other = open_dataset(changed).description["fingerprints"]
    assert other["train"] != description["fingerprints"]["train"]
    assert other["test"] == description["fingerprints"]["test"]
