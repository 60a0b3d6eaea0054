"""A warm cache to hand out: `python -m mia_helpers.course.warm pack FILE`, and `unpack FILE` where it is to be used.

The archive is a plain zip: trained models and shadows, as they lie in the cache (safetensors, never a pickle), and
`manifest.json` with the SHA-256 and the length of each. Nothing else of the cache goes in: no predictions, no history of the
challenge, no locks, no arrays that are put together again at first use, nothing damaged.
"""

import argparse
import hashlib
import json
import os
import re
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

import mia_helpers
from mia_helpers.cache import atomic_path, cache_dir, read_entry

NAME = re.compile(r"(?:(?:models|private)/[0-9a-f]{20}|shadows/[0-9a-f]{20}/[0-9]{5}-[0-9a-f]{12})\.safetensors")
MANIFEST, VERSION, MAX_MANIFEST, PIECE = "manifest.json", 1, 1 << 26, 1 << 20
BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, RuntimeError)  # what zipfile says of damage


class DamagedError(ValueError):
    """An archive, or an entry of one, that is not what was packed."""


@dataclass(frozen=True)
class Summary:
    """What was done: entries packed or unpacked and their bytes, entries that were there already, names of damaged ones."""

    n_entries: int
    n_bytes: int
    n_there: int = 0
    damaged: tuple[str, ...] = ()
    torch: str = torch.__version__

    def __str__(self) -> str:
        return f"{self.n_entries:,} entries, {self.n_bytes / 1e6:,.1f} MB"


def pack(archive: Path) -> Summary:
    """Write all entries of the cache folder, those of every notebook that was run with it, into one new file.

    Raises:
        FileExistsError: there is such a file.
        ValueError: there is nothing in the cache.
        OSError: the file cannot be written.
    """
    folder, archive = cache_dir(), Path(archive)
    if archive.exists():
        raise FileExistsError(f"{archive} is there already; choose another name, or remove it")
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*.safetensors")] if folder.is_dir() else []
    entries: dict[str, dict] = {}
    damaged = []
    with atomic_path(archive, shared=True) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as file:
            for name in sorted(name for name in names if NAME.fullmatch(name)):
                content = (folder / name).read_bytes()
                if read_entry(folder / name) is None:
                    damaged.append(name)
                    continue
                entries[name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
                file.writestr(zipfile.ZipInfo(name), content)  # its date is that of the format: nothing of who and when
            manifest = {"version": VERSION, "torch": torch.__version__, "entries": entries}
            file.writestr(zipfile.ZipInfo(MANIFEST), json.dumps(manifest, indent=1))
        if not entries:
            raise ValueError(f"there is nothing in {folder} to pack; run the notebooks first, or set MIA_CACHE_DIR")
    return Summary(len(entries), sum(entry["bytes"] for entry in entries.values()), damaged=tuple(damaged))


def unpack(archive: Path) -> Summary:
    """Put the entries of an archive into the cache folder; what is there and whole stays as it is.

    Each entry is checked before it is moved into place. One that is damaged is left out, and named in the summary.

    Raises:
        DamagedError: not a whole archive, or one that holds something else, or more or less, than its manifest says; nothing
            was written.
        OSError: the archive cannot be read, or the folder not be written.
    """
    folder, damaged, n_there, n_entries, n_bytes = cache_dir(), [], 0, 0, 0
    with _opened(Path(archive)) as file:
        told, made_with = _manifest(file)
        for name, (sha256, length) in told.items():
            if (folder / name).exists() and read_entry(folder / name) is not None:
                n_there += 1
                continue
            try:
                with atomic_path(folder / name, shared=True) as temporary:
                    _copy(file, name, sha256, length, temporary)
            except DamagedError:
                damaged.append(name)
                continue
            n_entries, n_bytes = n_entries + 1, n_bytes + length
    return Summary(n_entries, n_bytes, n_there, tuple(damaged), made_with)


def _opened(archive: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"there is no {archive}") from error
    except BROKEN as error:
        raise DamagedError(f"{archive} is not a whole archive ({error}); fetch it again") from error


def _manifest(file: zipfile.ZipFile) -> tuple[dict[str, tuple[str, int]], str]:
    """SHA-256 and length by name, and torch's version; of an archive that holds exactly what its manifest says."""
    names = file.namelist()
    if odd := [name for name in names if name != MANIFEST and not NAME.fullmatch(name)]:
        raise DamagedError(f"{file.filename} holds {odd[0]!r}, which is no entry of a cache; nothing was unpacked")
    try:
        if file.getinfo(MANIFEST).file_size > MAX_MANIFEST:
            raise ValueError("too long")
        manifest = json.loads(file.read(MANIFEST))
        if manifest["version"] != VERSION:
            raise ValueError(f"version {manifest['version']!r}, and {VERSION} is known here")
        told = {name: (str(entry["sha256"]), int(entry["bytes"])) for name, entry in manifest["entries"].items()}
        made_with = str(manifest["torch"])
    except (*BROKEN, KeyError, TypeError, AttributeError) as error:
        raise DamagedError(f"{file.filename} has no {MANIFEST} that can be read ({error}); fetch it again") from error
    if sorted(names) != sorted([*told, MANIFEST]):
        raise DamagedError(f"{file.filename} holds other entries than its {MANIFEST} names; fetch it again")
    return told, made_with


def _copy(file: zipfile.ZipFile, name: str, sha256: str, length: int, path: Path) -> None:
    """Write an entry to `path`, and read it there again as the cache will."""
    digest = hashlib.sha256()
    with path.open("wb") as out:
        for piece in _pieces(file, name):
            length -= len(piece)
            if length < 0:
                raise DamagedError(f"{name} is longer than the manifest says")
            digest.update(piece)
            out.write(piece)
    if length or digest.hexdigest() != sha256 or read_entry(path) is None:
        raise DamagedError(f"{name} is damaged")


def _pieces(file: zipfile.ZipFile, name: str) -> Iterator[bytes]:
    try:
        with file.open(name) as source:
            while piece := source.read(PIECE):
                yield piece
    except BROKEN as error:
        raise DamagedError(f"{name} is damaged ({error})") from error


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0: done, 1: some entries are damaged, 2: nothing could be done."""
    parser = argparse.ArgumentParser(prog="python -m mia_helpers.course.warm", description="A warm cache to hand out.")
    parser.add_argument("what", choices=["pack", "unpack"])
    parser.add_argument("file", type=Path, metavar="FILE", help="the archive, a zip file")
    given = parser.parse_args(arguments)
    try:
        done = (pack if given.what == "pack" else unpack)(given.file)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if given.what == "pack":
        print(f"packed {done} from {cache_dir()} into {given.file}")
    else:
        print(f"unpacked {done} into {cache_dir()}; {done.n_there:,} were there already")
        if not os.environ.get("MIA_CACHE_DIR"):
            package = Path(mia_helpers.__file__).parent
            print(f"Notebooks that use the package in {package} find them;")
            print(f"others need MIA_CACHE_DIR={cache_dir()} in their kernel.")
        if done.torch != torch.__version__:
            print(f"They were made with PyTorch {done.torch}, and here is {torch.__version__}: they will not be found.")
    for name in done.damaged:
        print(f"left out, because damaged: {name}", file=sys.stderr)
    return 1 if done.damaged else 0


if __name__ == "__main__":
    sys.exit(main())
