"""A split's images, decoded on all cores the first time and found in the cache from then on; free of torch.

A cache file belongs to the paths, sizes and times of change of its files (the checksums in an archive), to the size
of the images and to the way they are decoded. Labels are not in it. A file that was broken is tried again each time:
what mends it need not change these, as when an archive is replaced by a sound copy or a library is installed.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from anychan._files import remove_partial_files
from anychan._lock import alone
from anychan.data.cache_dir import default_cache_dir
from anychan.data.cache_file import FORMAT, Decoded, in_memory, read_cache, write_cache
from anychan.data.dataset import Dataset, Pixels, Sample
from anychan.data.decode import strict_pillow
from anychan.data.findings import BrokenFileError, ReadError
from anychan.data.parallel import ordered_map

_logger = logging.getLogger(__name__)


def decode_split(
    dataset: Dataset, split: str, image_size: int, cache_dir: Path | None = None, *, progress: bool = False
) -> Decoded:
    """All images of a split as squares of ``image_size`` pixels; the arguments are those of ``load_split``.

    Raises:
        ValueError: if the cache cannot be written.
        ReadError: if a file cannot be read or decoded this time.
    """
    samples = dataset.splits[split]
    if not dataset.source.kept:
        return in_memory(_decode_all(dataset, samples, image_size, progress), dataset.encoding.kept_as)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(dataset.name).stem)[:40]
    key = _cache_key(dataset, samples)
    path = (cache_dir or default_cache_dir()) / f"{name}-{split}-{image_size}-{key[:24]}"
    found = _still_so(dataset, samples, image_size, _found_in_cache(path, len(samples)))
    if found is None:
        with _building(path):
            found = _still_so(dataset, samples, image_size, _found_in_cache(path, len(samples), again=True))
            if found is None:
                pictures = _decode_all(dataset, samples, image_size, progress)
                found = _build(path, pictures, dataset.encoding.kept_as, len(samples))
    return found


@contextmanager
def _building(path: Path) -> Iterator[None]:
    """Held by one process, which removes what a killed one left half-built.

    Where no lock can be made, or one fails in between, two may do the same work.
    """
    lock = path.with_name(f".{path.name}.lock")
    with ExitStack() as held:
        held.callback(_remove, lock)
        is_ours = False
        try:
            is_ours = held.enter_context(alone(lock.parent, lock.name))
        except FileExistsError:
            _logger.warning("another process decodes %s: waiting until it has (%s)", path.name, lock)
            with suppress(OSError):
                is_ours = held.enter_context(alone(lock.parent, lock.name, wait=True))
        except OSError:  # no lock can be made
            pass
        if is_ours:
            with suppress(OSError):  # of another user
                remove_partial_files(path)
        yield


def _remove(lock: Path) -> None:
    with suppress(OSError):  # somebody waits for it, or it could not be made
        lock.unlink(missing_ok=True)


def _build(path: Path, pictures: Generator[Pixels | BrokenFileError, None, None], kept_as: str, count: int) -> Decoded:
    try:
        with strict_pillow(), closing(pictures):
            write_cache(path, pictures, kept_as)
    except ReadError:
        raise
    except OSError as error:
        raise ValueError(f"the cache {path.parent} cannot be written ($ANYCHAN_CACHE moves it): {error}") from error
    found = _found_in_cache(path, count)
    if found is None:
        raise ValueError(f"the cache {path.parent} does not keep what is written to it")
    return found


def _found_in_cache(path: Path, count: int, *, again: bool = False) -> Decoded | None:
    """What is there and whole; what is damaged is told, unless one looks again."""
    try:
        found = read_cache(path)
        if found is not None and len(found.pixels) + len(found.broken) != count:
            raise ValueError(f"{path.name} has not {count} images")
    except ValueError as error:
        if not again:
            _logger.warning("the cache is damaged and will be built again: %s", error)
        return None
    return found


def _still_so(dataset: Dataset, samples: Sequence[Sample], image_size: int, found: Decoded | None) -> Decoded | None:
    """What was found, with the reasons of today for what is broken; None where one of those can be decoded now."""
    if found is None or not found.broken:
        return found
    positions = [i for i, _ in found.broken]
    reasons = []
    with strict_pillow(), closing(_decode_all(dataset, [samples[i] for i in positions], image_size, False)) as again:
        for picture in again:
            if not isinstance(picture, BrokenFileError):
                return None
            reasons.append(picture.reason)
    return replace(found, broken=tuple(zip(positions, reasons, strict=True)))


def _decode_all(
    dataset: Dataset, samples: Sequence[Sample], image_size: int, progress: bool
) -> Generator[Pixels | BrokenFileError, None, None]:
    from tqdm import tqdm

    def decode(sample: Sample) -> Pixels | BrokenFileError:
        try:
            return dataset.decode(dataset.source.read(sample.path), image_size).pixels
        except BrokenFileError as broken:
            return broken
        except MemoryError as error:
            raise ReadError(errno.ENOMEM, "there is no memory to decode it", sample.path) from error

    pictures = ordered_map(decode, samples)
    yield from tqdm(pictures, "decoding", len(samples), unit=" images", disable=not progress, mininterval=0.5)


def _cache_key(dataset: Dataset, samples: Sequence[Sample]) -> str:
    digest = hashlib.sha256(f"{FORMAT} {','.join(dataset.channels.names)}{dataset.decoding}\n".encode())
    for sample in samples:
        digest.update(f"{sample.path}\0{dataset.source.stamp(sample.path)}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()
