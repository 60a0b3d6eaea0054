"""What a model is asked about, as numbers that a two-sample test can look at: tables with text and dates, sparse matrices.

NumPy side; pandas objects are known by their methods, scikit-learn is imported where it is needed.
"""

import datetime
import decimal
import numbers
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mia_helpers.inputs import as_array

MAX_CATEGORIES, N_WORDS = 20, 32  # of a column of text: the frequent values, and slots for its words
MAX_SPARSE_COLUMNS = 512


@dataclass(frozen=True)
class Described:
    """Inputs as numbers.

    Attributes:
        values: finite numbers `[N, F]`; None if there is nothing to look at.
        left_out: columns that could not be used, by name, or what the inputs are.
    """

    values: np.ndarray | None = None
    left_out: list[str] = field(default_factory=list)

    def not_tested(self) -> str:
        """A warning about what the two-sample test could not look at."""
        names = ", ".join(self.left_out[:12]) + f" and {len(self.left_out) - 12} more" * (len(self.left_out) > 12)
        others = "" if self.values is None else " (it looked at the other columns)"
        return (
            f"The two-sample test could not look at {names}: neither numbers nor text nor dates. A difference there would "
            f"go unnoticed{others}; pass features, numbers that describe the examples."
        )


def described(inputs: Any, n: int) -> Described:
    """A model's inputs `[N, …]` as finite numbers `[N, F]`, as far as they are a table.

    Numbers stay as they are; dates become seconds; text and categories become one column for each frequent value (the rare
    ones together), their rank in alphabetical order, and, where most values differ, slots for their words. What is missing
    is 0, with a column that says so. Of a sparse matrix the columns with the most entries are taken, and the sum and number
    of the entries in the others.
    """
    if inputs is None:
        return Described()
    if hasattr(inputs, "tocsr"):
        return Described(_of_sparse(inputs.tocsr()) if inputs.shape[0] == n else None)
    values = _as_whole(inputs)
    if values is not None and values.dtype.kind in "biuf" and values.ndim > 0:
        if len(values) != n or values.size == 0:
            return Described()
        return Described(_filled(values.reshape(n, -1)))
    found, left_out = [], []
    for name, column in _columns(inputs, values):
        part = _of_column(column) if len(column) == n else None
        if part is None:
            left_out.append(name)
        elif part.shape[1]:
            found.append(part)
    if not found:
        return Described(None, left_out or [f"inputs of type {type(inputs).__name__}"])
    return Described(np.concatenate(found, axis=1), left_out)


def _as_whole(inputs: Any) -> np.ndarray | None:
    """As one array; None of a ragged list."""
    try:
        return as_array(inputs)
    except (ValueError, TypeError):
        return None


def _filled(values: np.ndarray) -> np.ndarray:
    """Numbers `[N, F]` with 0 for what is missing, and behind them a column for each that lacks something."""
    if (bad := ~np.isfinite(values)).any():
        values = np.concatenate([np.where(bad, 0, values), bad[:, bad.any(0)]], axis=1)
    return values


def _of_sparse(matrix: Any) -> np.ndarray:
    """A sparse matrix as numbers: dense if it has few columns, else the fullest ones, and a summary of the rest."""
    if matrix.shape[1] <= MAX_SPARSE_COLUMNS:
        return _filled(matrix.toarray())
    filled = np.bincount(matrix.indices, minlength=matrix.shape[1])
    order = np.argsort(-filled, kind="stable")
    rest = matrix[:, np.sort(order[MAX_SPARSE_COLUMNS:])]
    summary = np.stack([np.asarray(rest.sum(1)).ravel(), np.diff(rest.indptr)], axis=1)
    return _filled(np.concatenate([matrix[:, np.sort(order[:MAX_SPARSE_COLUMNS])].toarray(), summary], axis=1))


def _columns(inputs: Any, values: np.ndarray | None) -> Iterator[tuple[str, np.ndarray]]:
    """Name and values of each column; of what is no table, nothing."""
    if hasattr(inputs, "iloc") and hasattr(inputs, "columns"):
        for i, name in enumerate(inputs.columns):
            column = as_array(inputs.iloc[:, i])
            if str(inputs.iloc[:, i].dtype).startswith(("category", "interval", "period")):
                column = np.array([None if _is_missing(value) else str(value) for value in column], object)
            yield repr(str(name)), column
    elif values is not None and values.dtype.names is not None:
        for name in values.dtype.names:
            yield repr(name), values[name]
    elif values is not None and values.ndim == 1:
        yield "the inputs", values
    elif values is not None and values.ndim == 2:
        for i in range(values.shape[1]):
            yield f"column {i} (counted from 0)", values[:, i]


def _of_column(column: np.ndarray) -> np.ndarray | None:
    """A column as numbers `[N, …]`; None if it is neither numbers nor dates nor text."""
    if column.ndim != 1:
        return None
    if column.dtype.kind in "biuf":
        return _filled(column[:, None])
    if column.dtype.kind in "mM":
        missing = np.isnat(column)
        values = column.astype("datetime64[us]" if column.dtype.kind == "M" else "timedelta64[us]").astype(np.int64) / 1e6
        return _filled(np.where(missing, np.nan, values)[:, None])
    if column.dtype.kind in "USOT":
        return _of_objects(column.astype(object))
    return None


def _of_objects(column: np.ndarray) -> np.ndarray | None:
    missing = np.array([_is_missing(value) for value in column])
    values = column[~missing].tolist()
    if all(isinstance(value, (str, numbers.Real, np.bool_, decimal.Decimal)) for value in values):
        if any(isinstance(value, str) for value in values) and not _are_numbers(values):
            return _of_text(np.where(missing, "", column).astype(str), missing)
    elif all(isinstance(value, datetime.date) for value in values):  # pandas' Timestamp is one
        values = [_seconds(value) for value in values]
    else:
        return None
    filled = np.full(len(column), np.nan)
    filled[~missing] = np.array([float(value) for value in values])
    return _filled(filled[:, None])


def _is_missing(value: object) -> bool:
    return value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)


def _are_numbers(values: list) -> bool:
    """Whether they are all numbers, some of them written as text."""
    try:
        for value in values:
            float(value)
    except ValueError:
        return False
    return True


def _seconds(value: datetime.date) -> float:
    if not isinstance(value, datetime.datetime):
        value = datetime.datetime(value.year, value.month, value.day)
    if value.tzinfo is None:
        value = value.replace(tzinfo=datetime.UTC)
    return (value - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)).total_seconds()


def _of_text(texts: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Text `[N]` as numbers: frequent values, rank, what is missing, and words if most values differ."""
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

    column = texts[:, None]
    n_values = len(np.unique(texts))
    parts = [missing[:, None]] * bool(missing.any())
    parts.append(OneHotEncoder(max_categories=MAX_CATEGORIES, sparse_output=False, dtype=np.float32).fit_transform(column))
    parts.append(OrdinalEncoder(dtype=np.float32).fit_transform(column))
    if n_values > len(texts) / 2:
        hashed = HashingVectorizer(n_features=N_WORDS, alternate_sign=False, norm=None, dtype=np.float32)
        parts.append(hashed.transform(texts.tolist()).toarray())
    return np.concatenate(parts, axis=1, dtype=np.float32)
