"""Files with a model's answers, read as the arrays that `audit` takes: .npz, a folder of .npy, .csv, .parquet.

NumPy side. Files may come from anybody: nothing is ever unpickled, and what a file declares is compared with what it holds
before memory is asked for.
"""

import io
import math
import os
import stat
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from mia_helpers.audit.tables import limited, named_once, read_csv, read_parquet, shown, size
from mia_helpers.inputs import InputError

OF_REFERENCES = ("shadow_logits", "shadow_probabilities", "member_mask")
ARRAYS = ("logits", "probabilities", "labels", "is_member", "features", "group", "person", *OF_REFERENCES)
MAX_BYTES = 8 * 2**30
MAX_HEADER = 2**16  # bytes of a .npy header; NumPy writes some hundred
DEFLATE = 1032  # no byte of deflated data stands for more bytes than that
HEADERS: dict[tuple[int, int], Callable] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}  # version 3.0 exists for names of fields, and arrays with fields are refused
DAMAGE = (ValueError, EOFError, OSError, struct.error, zipfile.BadZipFile, zlib.error, RuntimeError, MemoryError)


def load(path: str | Path, max_bytes: int = MAX_BYTES) -> dict[str, np.ndarray]:
    """The arrays of a file, shapes as in `audit`, which checks them; nothing is ever unpickled.

    - A folder of .npy files, `labels.npy`, `is_member.npy`, …: they are called as the arrays are.
    - .csv (UTF-8, commas, one header) or .parquet (needs pyarrow): columns `label`; `is_member` (0, 1, true, false); the
      answers for classes 0 … C − 1, `p_0`, `p_1`, … (probabilities) or `z_0`, `z_1`, … (logits); optionally `group` and
      `person` (in a .csv always text), and numbers `x_<any name>`, which become `features` `[N, F]` in the file's order. No
      value may be missing. Answers of reference models, which have one dimension more, do not fit into a table.
    - A file of any other name is read as .npz.

    Args:
        path: the file or the folder.
        max_bytes: of all arrays together; what declares or would become more is refused before it is read. A .csv, whose
            values may grow fourfold, may have a quarter of it.

    Raises:
        ValueError: a file that is damaged or too large, has pickled objects, lacks labels, is_member or answers, has a name
            that the audit does not know, or a value missing.
        OSError: it cannot be read.
    """
    path = Path(path)
    with warnings.catch_warnings():  # NumPy's, about headers; here a file is read, or refused in one line
        warnings.simplefilter("ignore")
        if path.is_dir():
            return _folder(path, max_bytes)
        with _opened(path) as file:
            return {".csv": read_csv, ".parquet": read_parquet}.get(path.suffix.lower(), _npz)(path, file, max_bytes)


def _opened(path: Path) -> IO[bytes]:
    """A file to read; not a pipe, which may keep one waiting, nor a device, which may never end."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise InputError(f"{path} is not a regular file; save it on disk first")
    return open(path, "rb")


def _array_names(path: Path, files: Sequence[str]) -> list[str]:
    """The names of the arrays in files `<name>.npy`, or an error unless the audit knows all and has those that it needs."""
    found = [file.removesuffix(".npy") if file.endswith(".npy") else f"{file} (not .npy)" for file in files]
    named_once(path, found)
    missing = [name for name in ("labels", "is_member") if name not in found]
    if missing := missing + ["logits or probabilities"] * (not {"logits", "probabilities"} & {*found}):
        raise InputError(f"{path} lacks {', '.join(missing)}; it holds {shown(sorted(found)) or 'nothing'}")
    if unknown := sorted({*found} - {*ARRAYS}):
        raise InputError(f"{path} holds arrays that the audit does not know: {shown(unknown)}; it knows {', '.join(ARRAYS)}")
    return found


def _folder(path: Path, max_bytes: int) -> dict[str, np.ndarray]:
    files = sorted(file for file in path.iterdir() if not file.name.startswith("."))
    names, arrays = _array_names(path, [file.name for file in files]), {}
    limited(path, sum(os.stat(file).st_size for file in files), max_bytes)
    for name, file in zip(names, files):
        with _opened(file) as opened:
            arrays[name] = _array(str(file), opened, size(opened), max_bytes)
    return arrays


def _npz(path: Path, file: IO[bytes], max_bytes: int) -> dict[str, np.ndarray]:
    if file.read(6) == b"\x93NUMPY":
        raise InputError(f"{path} holds a single array (.npy); save all arrays in one file with numpy.savez")
    try:
        archive = zipfile.ZipFile(file)
    except DAMAGE as error:
        raise InputError(f"{path} is not a whole .npz file ({error}); write it with numpy.savez") from error
    with archive:
        members = archive.infolist()
        names, arrays = _array_names(path, [member.filename for member in members]), {}
        for name, member in zip(names, members):
            _can_be_unpacked(f"array {name} in {path}", member)
        if sum(member.compress_size for member in members) > size(file):
            raise InputError(f"{path} has arrays that overlap; write it with numpy.savez")
        limited(path, sum(member.file_size for member in members), max_bytes)
        for name, member in zip(names, members):
            where = f"array {name} in {path}"
            try:
                opened = archive.open(member)
            except DAMAGE as error:
                raise InputError(f"{where} cannot be read ({error}); is the file damaged?") from error
            with opened:
                arrays[name] = _array(where, opened, member.file_size, max_bytes)
    return arrays


def _can_be_unpacked(where: str, member: zipfile.ZipInfo) -> None:
    """An error if the member is packed in another way than NumPy's, or says that it holds more than its bytes can."""
    if member.flag_bits & 1:
        raise InputError(f"{where} is encrypted; write it with numpy.savez")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(f"{where} is compressed by method {member.compress_type}; write it with numpy.savez_compressed")
    if member.file_size > member.compress_size * (DEFLATE if member.compress_type else 1):
        raise InputError(f"{where} declares {member.file_size} bytes, more than its {member.compress_size} bytes can hold")


def _array(where: str, file: IO[bytes], n_bytes: int, max_bytes: int) -> np.ndarray:
    """The array of a .npy file of so many bytes. NumPy's errors about headers are not repeated: they advise unpickling."""
    try:
        start = io.BytesIO(file.read(MAX_HEADER))
        file.seek(0)
    except DAMAGE as error:
        raise InputError(f"{where} cannot be read ({error}); is the file damaged?") from error
    try:
        shape, _, dtype = HEADERS[np.lib.format.read_magic(start)](start, max_header_size=MAX_HEADER)
    except Exception:  # Python's own parser is behind it, which has many errors; all are about these bytes
        raise InputError(f"{where} does not begin with a .npy header of at most {MAX_HEADER} bytes") from None
    if dtype.hasobject:
        raise InputError(f"{where} holds pickled objects, which could run code and are refused; save numbers or strings")
    if dtype.kind not in "biufMSU":
        raise InputError(f"{where} holds {str(dtype):.60}; expected numbers, booleans or strings")
    if min(shape, default=0) < 0 or math.prod(max(n, 1) for n in shape) * max(dtype.itemsize, 1) > max_bytes:
        raise InputError(f"{where} declares a negative shape, or more than the limit of {max_bytes / 2**30:.3g} GiB")
    declared, held = math.prod(shape) * dtype.itemsize, n_bytes - start.tell()
    if declared != held:
        raise InputError(f"{where} declares {str(shape):.60}, {declared} bytes, but holds {held}; is the file cut off?")
    try:
        values = np.lib.format.read_array(file, allow_pickle=False, max_header_size=MAX_HEADER)
    except DAMAGE as error:
        raise InputError(f"{where} cannot be read ({error}); is the file damaged?") from error
    return _sound(where, values)


def _sound(where: str, values: np.ndarray) -> np.ndarray:
    """The array, or an error if its bytes are none of its type, which NumPy does not notice: it would count nonsense."""
    if values.dtype.kind == "b" and values.size and values.view(np.uint8).max() > 1:
        raise InputError(f"{where} should be boolean, and has bytes other than 0 and 1")
    try:
        values = values.astype(str) if values.dtype.kind == "S" else values
        if values.dtype.kind == "U":
            values.tobytes().decode("utf-32-be" if values.dtype.str[0] == ">" else "utf-32-le")
    except UnicodeDecodeError:
        raise InputError(f"{where} has bytes that are no characters; save strings as str") from None
    return values
