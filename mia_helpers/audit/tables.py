"""Tables with a model's answers, one row for each example, as the arrays that `audit` takes: .csv and .parquet.

NumPy side; pyarrow is imported for .parquet alone. What the columns are called, `files.load` says.
"""

import csv
import io
import os
import re
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np

from mia_helpers.inputs import InputError

SINGLE = {"label": "labels", "is_member": "is_member", "group": "group", "person": "person"}  # column -> array
ANSWERS = {"p": "probabilities", "z": "logits"}
NAMES = ("group", "person")
TEXTS = (*NAMES, "is_member")  # columns that may hold strings
TRUTH = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}
MISSING = {"", "nan", "na", "n/a", "null", "none", "<na>"}
ROW = "row {} (counted from 0, after the header)"
VALUES_AT_ONCE = 2**20  # as strings, which take ten times as much memory as numbers


# ---- what all files are asked


def size(file: IO[bytes]) -> int:
    """Bytes of a file on disk."""
    return os.fstat(file.fileno()).st_size


def limited(path: Path, n_bytes: int, max_bytes: int) -> None:
    """An error if a file would take more memory than it may."""
    if n_bytes > max_bytes:
        raise InputError(f"{path} would take {n_bytes / 2**30:.3g} GiB, more than the limit of {max_bytes / 2**30:.3g} GiB")


def shown(names: Iterable[str]) -> str:
    """Names that somebody else chose: a dozen of them, and of each the beginning."""
    names = list(names)
    more = [f"… ({len(names)} in all)"] if len(names) > 12 else []
    return ", ".join([name if len(name) <= 40 else f"{name[:40]}…" for name in names[:12]] + more)


def named_once(path: Path, names: Sequence[str]) -> None:
    """An error if a name is empty, or stands twice: which one counts?"""
    ordered = sorted(names)
    if wrong := {name for name in ordered if not name} | {a for a, b in zip(ordered, ordered[1:]) if a == b}:
        raise InputError(f"{path} has names that are empty or stand twice: {shown(map(repr, sorted(wrong)))}")


# ---- columns


def _arrays(path: Path, header: Sequence[str]) -> dict[str, list[str]]:
    """Array -> the columns that it is made of, or an error that names what is missing or not known."""
    if len(header) == 1 and (found := [mark for mark in ";\t|" if mark in header[0]]):
        raise InputError(
            f"{path} seems to be separated by {found[0]!r}, not by commas; save it with commas, and a point in numbers"
        )
    named_once(path, header)
    answers = {array: {*filter(re.compile(f"{k}_(0|[1-9][0-9]*)").fullmatch, header)} for k, array in ANSWERS.items()}
    features = [name for name in header if name.startswith("x_") and len(name) > 2]
    known = {*SINGLE, *features}.union(*answers.values())
    missing = [name for name in ("label", "is_member") if name not in header]
    missing += ["p_0, p_1, … or z_0, z_1, …"] * (not any(answers.values()))
    wrong = [f"lacks columns {', '.join(missing)}"] * bool(missing)
    if unknown := [name for name in header if name not in known]:
        wrong.append(f"holds columns that the audit does not know: {shown(map(repr, unknown))}")
    if wrong:
        raise InputError(f"{path} {' and '.join(wrong)}; it knows {', '.join(SINGLE)}, p_0 …, z_0 … and x_<name>")
    if all(answers.values()):
        raise InputError(f"{path} has probabilities (p_…) and logits (z_…); give one of them")
    arrays = {SINGLE[name]: [name] for name in SINGLE if name in header} | ({"features": features} if features else {})
    letter, array = next((letter, array) for letter, array in ANSWERS.items() if answers[array])
    if answers[array] == {f"{letter}_1"}:  # of two classes: the other one follows
        return arrays | {array: [f"{letter}_1"]}
    if answers[array] == {f"{letter}_0"}:
        raise InputError(
            f"{path} has {letter}_0 alone, class 0's; for two classes give both, or class 1's alone, called {letter}_1"
        )
    wanted = [f"{letter}_{i}" for i in range(len(answers[array]))]
    if gap := [name for name in wanted if name not in answers[array]]:
        raise InputError(f"{path} lacks column {gap[0]}; the answers must be numbered from 0 without a gap")
    return arrays | {array: wanted}


def _stacked(path: Path, arrays: dict[str, list[str]], columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays, made of their columns."""
    for name, values in columns.items():
        if values.dtype.kind == "f" and np.isnan(values).any():
            raise _missing(path, name, int(np.isnan(values).argmax()))
    if columns["label"].dtype.kind == "f" and (columns["label"] % 1 == 0).all():  # as programs write them after a gap
        columns = columns | {"label": columns["label"].astype(np.int64)}
    return {
        array: columns[names[0]] if array in SINGLE.values() else np.stack([columns[name] for name in names], 1)
        for array, names in arrays.items()
    }


def _missing(path: Path, name: str, row: int) -> InputError:
    return InputError(
        f"{path}, column {name:.40}, {ROW.format(row)}: the value is missing; fill it in, or leave the row out"
    )


def _parsed(path: Path, name: str, texts: Iterable[str], n_before: int = 0) -> np.ndarray:
    """The values that the texts of a column stand for; names stay objects. n_before: how many rows came before."""
    if name in NAMES:
        return np.array([*texts], object)
    convert: Any = {"label": _whole, "is_member": lambda text: TRUTH[text.strip().lower()]}.get(name, float)
    values = []
    for row, text in enumerate(texts, n_before):
        try:
            values.append(convert(text))
        except (ValueError, KeyError, OverflowError):
            if text.strip().lower() in MISSING:
                raise _missing(path, name, row) from None
            kind = {"label": "a whole number", "is_member": "0, 1, true or false"}.get(name, "a number")
            hint = "; number the classes from 0, as numpy.unique(names, return_inverse=True)[1] does" * (name == "label")
            raise InputError(
                f"{path}, column {name:.40}, {ROW.format(row)}: expected {kind}, got {text[:40]!r}{hint}"
            ) from None
    return np.array(values)


def _whole(text: str) -> np.int64:
    """A whole number, also written as 3.0, as programs do if some value of a column was missing; or a ValueError."""
    try:
        return np.int64(text)
    except ValueError:
        value = float(text)
        if not value.is_integer():
            raise
        return np.int64(int(value))


def _names(path: Path, name: str, texts: np.ndarray, max_bytes: int) -> np.ndarray:
    """Strings, from objects: as wide as the longest, and none ends in a zero character, which NumPy would drop."""
    for row, text in enumerate(texts):
        if not text.strip():
            raise _missing(path, name, row)
        if "\0" in text:
            raise InputError(f"{path}, column {name}, {ROW.format(row)}: a name with a zero character")
    limited(path, 4 * len(texts) * max(map(len, texts), default=0), max_bytes)
    return texts.astype(str)


# ---- the two forms


def read_csv(path: Path, file: IO[bytes], max_bytes: int) -> dict[str, np.ndarray]:
    """The arrays of a .csv file; rows are counted from 0, after the header, as in a report's `scores`."""
    limited(path, 4 * size(file), max_bytes)
    reader, n = csv.reader(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""), strict=True), 0
    try:
        header = next(reader, [])
        arrays, parts = _arrays(path, header), {name: [np.empty(0)] for name in header}
        while rows := list(islice(reader, max(1, VALUES_AT_ONCE // len(header)))):
            for row, values in enumerate(rows, n):
                if len(values) != len(header):
                    raise InputError(f"{path}, {ROW.format(row)}: {len(values)} values under a header of {len(header)}")
            for name, texts in zip(header, zip(*rows)):
                parts[name].append(_parsed(path, name, texts, n))
            n += len(rows)
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not CSV in UTF-8 ({error}), after {n} rows or some more") from error
    if n == 0:
        raise InputError(f"{path} has a header and no rows")
    columns = {name: np.concatenate(part[1:]) for name, part in parts.items()}
    return _stacked(
        path, arrays, columns | {name: _names(path, name, columns[name], max_bytes) for name in NAMES if name in columns}
    )


def read_parquet(path: Path, file: IO[bytes], max_bytes: int) -> dict[str, np.ndarray]:
    """The arrays of a .parquet file, of the types that the columns have."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise InputError(f"{path} needs pyarrow: pip install pyarrow") from None
    damage = (pyarrow.ArrowException, ValueError, OSError, MemoryError)
    try:
        source = parquet.ParquetFile(file)
        schema, n, groups = source.schema_arrow, source.metadata.num_rows, range(source.metadata.num_row_groups)
        unpacked = sum(source.metadata.row_group(i).total_byte_size for i in groups)
    except damage as error:
        raise InputError(f"{path} is not a whole .parquet file ({error})") from error
    arrays = _arrays(path, schema.names)
    for field in schema:
        _known_type(path, field)
    if n <= 0:
        raise InputError(f"{path} has {n} rows")
    limited(path, max(unpacked, 8 * n * len(schema)), max_bytes)
    try:  # as a dictionary a long name takes memory once, not once for each row
        source = parquet.ParquetFile(file, read_dictionary=[name for name in TEXTS if name in schema.names])
        table = source.read(use_threads=False)  # no other thread calls back into Python for bytes of the file
        table.validate(full=True)  # places in a dictionary that is shorter, bytes that are no characters
        held = {name: _held(table.column(name)) for name in schema.names}
    except damage as error:
        raise InputError(f"{path} cannot be read ({error}); is the file damaged?") from error
    columns = {}
    for name, (values, absent) in held.items():
        if absent.any():
            raise _missing(path, name, int(absent.argmax()))
        if values.dtype == object:
            values = _names(path, name, values, max_bytes) if name in NAMES else _parsed(path, name, values)
        columns[name] = values
    return _stacked(path, arrays, columns)


def _known_type(path: Path, field: Any) -> None:
    """An error unless an Arrow column holds numbers or, where it may, strings."""
    from pyarrow import types

    kind = field.type.value_type if types.is_dictionary(field.type) else field.type
    if field.name in TEXTS and (types.is_string(kind) or types.is_large_string(kind)):
        return
    if not (types.is_integer(field.type) or types.is_floating(field.type) or types.is_boolean(field.type)):
        raise InputError(f"{path}, column {field.name:.40}: expected numbers, got {str(field.type):.60}")


def _held(column: Any) -> tuple[np.ndarray, np.ndarray]:
    """The values of an Arrow column, numbers or, as objects, strings, and which of them are missing."""
    absent = column.is_null().to_numpy()
    if "string" not in str(column.type):
        return column.to_numpy(), absent
    coded = column.dictionary_encode().combine_chunks()
    texts = np.array([*(text or "" for text in coded.dictionary.to_pylist()), ""], object)
    return texts[coded.indices.cast("int64").fill_null(-1).to_numpy(zero_copy_only=False)], absent
