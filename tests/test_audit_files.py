"""How the audit's command reads and writes files: every form comes back as it went in, and no file does harm."""

import csv
import errno
import io
import os
import pickle
import re
import struct
import subprocess
import sys
import tempfile
import tomllib
import tracemalloc
import warnings
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as drawn_arrays

from mia_helpers.audit import Settings, audit, command, files, load, main, tables
from mia_helpers.inputs import InputError

ROOT = Path(__file__).resolve().parents[1]
N = 400
RNG = np.random.default_rng(18)
Y, M, Z = RNG.integers(0, 4, N), RNG.permutation(np.arange(N) < N // 2), RNG.normal(0, 2, (N, 4))
P = np.exp(Z) / np.exp(Z).sum(1, keepdims=True)
TABLE = pd.DataFrame({"label": Y, "is_member": M} | {f"z_{i}": Z[:, i] for i in range(4)})


def npy(values):
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def header(shape, descr="'<f8'", order="False", version=1, pad=0):
    """A .npy header with anything in it."""
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".encode() + b" " * pad + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text


def in_folder(path, **changed):
    """A folder of .npy files; bytes are written as they are."""
    path.mkdir()
    for name, values in ({"labels": Y, "is_member": M, "logits": Z} | changed).items():
        (path / f"{name}.npy").write_bytes(values if isinstance(values, bytes) else npy(values))


def in_npz(path, compression=zipfile.ZIP_STORED, **changed):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, values in ({"labels": Y, "is_member": M, "logits": Z} | changed).items():
            archive.writestr(f"{name}.npy", values if isinstance(values, bytes) else npy(values))


def in_csv(path, **changed):
    TABLE.assign(**changed).to_csv(path, index=False)


def in_parquet(path, table=TABLE, **changed):
    pytest.importorskip("pyarrow")
    table.assign(**changed).to_parquet(path, index=False)


# ---- what goes in comes out


@st.composite
def answers_of_somebody(draw):
    """Arrays as `load` returns them, with everything that fits into a table."""
    n, n_classes = draw(st.integers(1, 12)), draw(st.integers(1, 4))
    name = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8).filter(str.strip)
    found = {
        "labels": draw(drawn_arrays(np.int64, n)),
        "is_member": draw(drawn_arrays(bool, n)),
        draw(st.sampled_from(["logits", "probabilities"])): draw(
            drawn_arrays(np.float64, (n, n_classes), elements=st.floats(allow_nan=False))
        ),
    }
    for array in draw(st.sets(st.sampled_from(["group", "person"]))):
        found[array] = np.array(draw(st.lists(name, min_size=n, max_size=n)))
    columns = draw(st.lists(name.map("x_{}".format), max_size=3, unique=True))
    if columns:
        found["features"] = draw(drawn_arrays(np.float64, (n, len(columns)), elements=st.floats(allow_nan=False)))
    return found, columns


def as_table(arrays, columns):
    table = {"label": arrays["labels"], "is_member": arrays["is_member"]}
    for array, letter in (("probabilities", "p"), ("logits", "z")):
        answers = arrays.get(array, np.empty((0, 0))).T
        places = list(enumerate(answers, start=len(answers) == 1))  # one column alone is class 1's
        table |= {f"{letter}_{i}": values for i, values in reversed(places)}
    table |= {name: arrays[name] for name in ("group", "person") if name in arrays}
    return pd.DataFrame(table | dict(zip(columns, arrays["features"].T if columns else [])))


def write_folder(path, arrays, columns):
    path.mkdir()
    for name, values in arrays.items():
        np.save(path / f"{name}.npy", np.asfortranarray(values))


WRITERS = {
    "a.npz": lambda path, arrays, columns: np.savez(path, **arrays),
    "packed.npz": lambda path, arrays, columns: np.savez_compressed(path, **arrays),
    "folder": write_folder,
    # quoted, since Python's writer leaves a name that ends in \r bare, which nobody can tell from the end of a line
    "a.csv": lambda path, arrays, columns: as_table(arrays, columns).to_csv(path, index=False, quoting=csv.QUOTE_NONNUMERIC),
    "A.PARQUET": lambda path, arrays, columns: as_table(arrays, columns).to_parquet(path, index=False),
}


@pytest.mark.parametrize("name", WRITERS)
@given(answers_of_somebody())
@hypothesis_settings(max_examples=60, deadline=None)
def test_every_form_comes_back_as_it_went_in(name, drawn):
    if "PARQUET" in name:
        pytest.importorskip("pyarrow")
    with tempfile.TemporaryDirectory() as folder:
        WRITERS[name](Path(folder) / name, *drawn)
        found = load(Path(folder) / name)
    assert found.keys() == drawn[0].keys()
    for array, values in drawn[0].items():
        assert found[array].dtype.kind == values.dtype.kind and found[array].shape == values.shape
        assert found[array].tolist() == values.tolist(), array


def test_answers_of_a_dozen_classes_stand_in_the_order_of_the_classes_and_features_in_that_of_the_file(tmp_path):
    z, x = np.arange(36.0).reshape(3, 12), np.arange(6.0).reshape(3, 2)
    columns = {"label": np.array([0, 11, 2]), "is_member": np.array([1, 0, 1]), "x_b": x[:, 0], "x_a": x[:, 1]}
    columns |= {f"z_{c}": z[:, c] for c in (10, 2, 0, 11, 1, 9, 3, 4, 8, 5, 7, 6)}
    rows = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values()))]
    (tmp_path / "a.csv").write_text("\n".join(rows))
    found = load(tmp_path / "a.csv")
    np.testing.assert_array_equal(found["logits"], z)
    np.testing.assert_array_equal(found["features"], x)


def test_one_audit_for_all_forms(tmp_path, capsys):
    in_npz(tmp_path / "a.npz")
    in_folder(tmp_path / "b")
    in_csv(tmp_path / "c.csv")
    in_parquet(tmp_path / "d.parquet")
    said = set()
    for name in ("a.npz", "b", "c.csv", "d.parquet"):
        assert main([str(tmp_path / name), "--at-fpr", "0.1"]) == 0
        said.add(capsys.readouterr().out)
    assert len(said) == 1


@pytest.mark.parametrize("truth", [("1", "0"), ("True", "False"), ("TRUE", "FALSE"), (" true", "false ")])
def test_memberships_in_words(truth, tmp_path):
    in_csv(tmp_path / "a.csv", is_member=np.where(M, *truth))
    in_parquet(tmp_path / "a.parquet", is_member=np.where(M, *truth))
    for name in ("a.csv", "a.parquet"):
        assert load(tmp_path / name)["is_member"].tolist() == M.tolist()


def test_tables_as_people_write_them(tmp_path):
    text = TABLE.assign(group="NA", person=[f"{i:03}" for i in range(N)]).to_csv(index=False)
    (tmp_path / "excel.csv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    found = load(tmp_path / "excel.csv")
    assert set(found["group"]) == {"NA"} and found["person"][7] == "007" and (found["logits"] == Z).all()
    in_parquet(tmp_path / "a.parquet", group=pd.Categorical(Y.astype(str)), person=np.arange(N), x_flag=M, **{"x_?": Y})
    found = load(tmp_path / "a.parquet")
    assert found["group"].tolist() == Y.astype(str).tolist() and found["person"].dtype == np.int64
    assert found["features"].tolist() == np.stack([M, Y], 1).tolist()
    in_parquet(tmp_path / "narrow.parquet", TABLE.astype({f"z_{i}": np.float32 for i in range(4)}))
    assert load(tmp_path / "narrow.parquet")["logits"].dtype == np.float32


def test_parquet_in_pieces(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    table = pyarrow.Table.from_pandas(TABLE.assign(group=[str(i // 7) for i in range(N)]))
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=30)
    assert load(tmp_path / "a.parquet")["group"].tolist() == [str(i // 7) for i in range(N)]


def test_arrays_as_other_programs_write_them(tmp_path):
    big_endian = {"labels": Y.astype(">i4"), "logits": np.asfortranarray(Z.astype(">f4")), "group": Y.astype(">U3")}
    in_npz(tmp_path / "a.npz", **big_endian, is_member=M.astype("u1"), person=Y.astype("S3"))
    found = load(tmp_path / "a.npz")
    assert all((found[name] == values).all() for name, values in big_endian.items())
    assert (found["person"] == Y.astype(str)).all() and found["person"].dtype.kind == "U"
    in_folder(tmp_path / "b", labels=header(f"({N}L,)", "'<i8'") + Y.tobytes())  # written by Python 2
    (tmp_path / "b" / ".DS_Store").touch()
    assert (load(tmp_path / "b")["labels"] == Y).all()
    in_npz(tmp_path / "no suffix")
    assert load(tmp_path / "no suffix").keys() == {"labels", "is_member", "logits"}


def test_whole_numbers_may_be_written_as_programs_write_them_after_a_gap(tmp_path):
    for form, write in (("csv", in_csv), ("parquet", in_parquet)):
        write(tmp_path / f"a.{form}", label=Y * 1.0, is_member=M * 1.0)
        arrays = load(tmp_path / f"a.{form}")
        assert arrays["labels"].dtype == np.int64 and (arrays["labels"] == Y).all() and (arrays["is_member"] == M).all()


def test_class_1_alone_is_enough_for_two_classes_and_class_0_alone_is_not(tmp_path, capsys):
    y, p = Y % 2, np.random.default_rng(0).uniform(0.01, 0.99, N)
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    pd.DataFrame({"label": y, "is_member": M, "p_1": p}).to_csv(one, index=False)
    pd.DataFrame({"label": y, "is_member": M, "p_0": 1 - p, "p_1": p}).to_csv(two, index=False)
    reports = [audit(**load(path), settings=Settings(at_fpr=0.1)) for path in (one, two)]
    for name in ("gap", "loss", "hinge"):
        assert reports[0].attacks[name].auc.value == pytest.approx(reports[1].attacks[name].auc.value, abs=1e-9)
    for letter in "pz":
        pd.DataFrame({"label": y, "is_member": M, f"{letter}_0": p}).to_csv(one, index=False)
        assert main([str(one), "--at-fpr", "0.1"]) == 2
        assert f"has {letter}_0 alone, class 0's; for two classes give both" in capsys.readouterr().err


def test_names_and_places_are_checked_in_a_csv_longer_than_one_piece(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "VALUES_AT_ONCE", 50)
    in_csv(tmp_path / "a.csv", group=Y)
    assert (load(tmp_path / "a.csv")["logits"] == Z).all() and (load(tmp_path / "a.csv")["group"] == Y.astype(str)).all()
    for changed, column in (
        ({"z_2": np.where(np.arange(N) == 300, np.nan, Z[:, 2])}, "z_2"),
        ({"group": gap("a")}, "group"),
    ):
        in_csv(tmp_path / "a.csv", **changed)
        with pytest.raises(InputError, match=f"column {column}, row 300 .*: the value is missing"):
            load(tmp_path / "a.csv")


def gap(value):
    """A column of one value that is missing in row 300."""
    return [None if i == 300 else value for i in range(N)]


# ---- files that it cannot use


def cut(write, name, n_bytes=200):
    def make(path):
        write(path)
        whole = path / name if name else path
        whole.write_bytes(whole.read_bytes()[:-n_bytes])

    return make


def directory(offset, layout, value, compression=zipfile.ZIP_STORED, local=None):
    """An .npz in whose directory each member's field at `offset` is `value`; local: and in its own header at this one."""

    def make(path):
        in_npz(path, compression)
        data = bytearray(path.read_bytes())
        for signature, place in ((b"PK\x01\x02", offset), (b"PK\x03\x04", local)):
            for found in re.finditer(re.escape(signature), bytes(data)) if place is not None else ():
                struct.pack_into(layout, data, found.start() + place, value)
        path.write_bytes(data)

    return make


def damaged(path):
    in_npz(path, zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    data[2000:2100] = bytes(100)
    path.write_bytes(data)


def members(*names):
    def make(path):
        in_npz(path)
        with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
            warnings.simplefilter("ignore")  # duplicate names
            for name in names:
                archive.writestr(name, npy(Y))

    return make


def overlapping(path):
    """All members of the directory are the largest one."""
    in_npz(path)
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        offset = archive.getinfo("logits.npy").header_offset
        size = archive.getinfo("logits.npy").file_size
    data = bytearray(data)
    for found in re.finditer(rb"PK\x01\x02", bytes(data)):
        struct.pack_into("<II", data, found.start() + 20, size, size)
        struct.pack_into("<I", data, found.start() + 42, offset)
    path.write_bytes(data)


def bomb(path):
    """A member of 300 MB in 0.3 MB, as large as it says."""
    in_npz(path)
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive,
        archive.open("features.npy", "w", force_zip64=True) as member,
    ):
        member.write(header((N, 93_750)))
        for _ in range(300):
            member.write(bytes(1_000_000))


def text(content):
    return lambda path: path.write_bytes(content if isinstance(content, bytes) else content.encode())


def csv_line(line, row=300):
    def make(path):
        lines = TABLE.to_csv(index=False).splitlines()
        path.write_text("\n".join([*lines[:row], line, *lines[row:]]) + "\n")

    return make


def columns(*dropped, **renamed):
    return lambda path: TABLE.drop(columns=[*dropped]).rename(columns=renamed).to_csv(path, index=False)


def repeated_parquet(path):
    """A long name in each of 40,000 rows: written once in the file, and as an array 16 GB."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.Table.from_pandas(pd.concat([TABLE] * 100), preserve_index=False)
    name = pyarrow.DictionaryArray.from_arrays(np.zeros(len(table), np.int32), ["x" * 100_000])
    parquet.write_table(table.append_column("group", name), path, store_schema=False)  # plain strings again


def long_parquet(path):
    """Ten million rows of one value: small as a file."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    zeros = pyarrow.array(np.zeros(10_000_000, np.int8))
    parquet.write_table(pyarrow.table(dict.fromkeys(["label", "is_member", "p_0", "p_1"], zeros)), path)


def nested_parquet(path):
    in_parquet(path, group=[[1, 2]] * N)


def bad_text_parquet(path):
    in_parquet(path, group="abcdefgh")
    data = path.read_bytes()
    assert b"abcdefgh" in data
    path.write_bytes(data.replace(b"abcdefgh", b"\xff\xfe\xfd\xfcefgh"))


NPZ = {
    "no labels": (lambda p: np.savez(p, is_member=M, logits=Z), "lacks labels; it holds is_member, logits"),
    "no is_member": (lambda p: np.savez(p, labels=Y, logits=Z), "lacks is_member"),
    "no answers": (lambda p: np.savez(p, labels=Y, is_member=M), "lacks logits or probabilities"),
    "empty": (lambda p: np.savez(p), "lacks labels, is_member, logits or probabilities; it holds nothing"),
    "typo": (lambda p: in_npz(p, groups=Y), "does not know: groups"),
    "wrong shape": (lambda p: in_npz(p, logits=Z[:5]), r"logits must have shape \[400, C\]"),
    "sums": (lambda p: np.savez(p, labels=Y, is_member=M, probabilities=P / 2), "must sum to 1"),
    "one value": (lambda p: in_npz(p, is_member=M | True), "400 of 400 are members"),
    "objects": (
        lambda p: np.savez(p, labels=Y, is_member=M, logits=Z, group=np.array([{}] * N)),
        "group .* pickled objects",
    ),
    "fields": (lambda p: in_npz(p, group=np.zeros(N, "f8,i4")), "group .* expected numbers, booleans or strings"),
    "unicode fields": (lambda p: in_npz(p, group=header((N,), "[('é', '<f8')]", version=3)), "npy header"),
    "void": (lambda p: in_npz(p, group=np.zeros(N, "V8")), r"\|V8; expected numbers"),
    "complex": (lambda p: in_npz(p, logits=Z + 1j), "holds complex128"),
    "a pickle": (text(pickle.dumps({"logits": 1})), "not a whole .npz file"),
    "text": (text("labels,is_member\n"), "not a whole .npz file"),
    "nothing": (text(""), "not a whole .npz file"),
    "npy": (text(npy(Z)), "single array"),
    "truncated": (cut(in_npz, ""), "not a whole .npz file"),
    "damaged": (damaged, "cannot be read"),
    "wrong checksum": (directory(16, "<I", 7), "cannot be read .*CRC"),
    "gone member": (directory(42, "<I", 10**6), "cannot be read"),
    "encrypted": (directory(8, "<H", 1, local=6), "is encrypted; write"),
    "bzip2": (lambda p: in_npz(p, zipfile.ZIP_BZIP2), "compressed by method 12"),
    "lzma": (lambda p: in_npz(p, zipfile.ZIP_LZMA), "compressed by method 14"),
    "unknown packing": (directory(10, "<H", 99, local=8), "compressed by method 99"),
    "patch data": (directory(8, "<H", 0x20, local=6), "cannot be read"),
    "member twice": (members("labels.npy"), "stand twice: 'labels'"),
    "path": (members("../labels.npy"), r"does not know: \.\./labels;"),
    "no suffix": (members("group"), r"does not know: group \(not \.npy\)"),
    "many names": (members(*(f"{i}" * 100 for i in range(50))), r"… \(50 in all\)"),
    "overlapping": (overlapping, "overlap"),
    "4 GB in some bytes": (directory(24, "<I", 0xFFFFFFF0), "more than its .* bytes can hold"),
    "4 GB, packed": (directory(24, "<I", 0xFFFFFFF0, zipfile.ZIP_DEFLATED), "more than its .* bytes can hold"),
    "4 GB, all lies": (directory(20, "<Q", 0xFFFFFFF0FFFFFFF0), "overlap"),
    "20 GB declared": (lambda p: in_npz(p, logits=header((10**9, 2), "'<f8'") + bytes(20_000_000)), "declares .* more than"),
    "5 GB declared": (lambda p: in_npz(p, logits=header((10**8, 6)) + bytes(20_000_000)), "bytes, but holds 20000000"),
    "giant": (lambda p: in_npz(p, logits=header((10**30, 10))), "more than the limit of 8 GiB"),
    "giant and empty": (lambda p: in_npz(p, logits=header((0, 2**62))), "more than the limit"),
    "negative": (lambda p: in_npz(p, logits=header((-400, 4)) + Z.tobytes()), "negative shape"),
    "both negative": (lambda p: in_npz(p, logits=header((-400, -4)) + Z.tobytes()), "negative shape"),
    "hundred dimensions": (lambda p: in_npz(p, logits=header((1,) * 100) + bytes(8)), "cannot be read"),
    "shape is text": (lambda p: in_npz(p, logits=header("'ab'") + Z.tobytes()), "npy header"),
    "shape is code": (lambda p: in_npz(p, logits=header("(__import__('os'),)") + Z.tobytes()), "npy header"),
    "endless brackets": (lambda p: in_npz(p, logits=header("(" * 30_000)), "npy header"),
    "endless minus": (lambda p: in_npz(p, logits=header("-" * 30_000 + "1")), "npy header"),
    "hexadecimal": (lambda p: in_npz(p, logits=header("(0x" + "f" * 30_000 + ",)")), "more than the limit"),
    "long header": (lambda p: in_npz(p, logits=header((N, 4), version=2, pad=70_000) + Z.tobytes()), "at most 65536 bytes"),
    "no type": (lambda p: in_npz(p, logits=header((N, 4), "()") + Z.tobytes()), "npy header"),
    "odd type": (lambda p: in_npz(p, logits=header((N, 4), "[(1,)]") + Z.tobytes()), "npy header"),
    "order": (lambda p: in_npz(p, logits=header((N, 4), order="7") + Z.tobytes()), "npy header"),
    "not npy": (lambda p: in_npz(p, logits=b"hello"), "npy header"),
    "cut off inside": (lambda p: in_npz(p, logits=npy(Z)[:-8]), "12800 bytes, but holds 12792"),
    "more inside": (lambda p: in_npz(p, logits=npy(Z) + b"!"), "12800 bytes, but holds 12801"),
    "bytes as booleans": (
        lambda p: in_npz(p, is_member=header((N,), "'|b1'") + bytes([0, 255]) * 200),
        "bytes other than 0",
    ),
    "no characters": (lambda p: in_npz(p, group=header((N,), "'<U1'") + b"\xff" * 4 * N), "no characters"),
    "half characters": (lambda p: in_npz(p, group=header((N,), "'<U1'") + b"\0\xd8\0\0" * N), "no characters"),
    "not ASCII": (lambda p: in_npz(p, group=np.array(["é".encode()] * N)), "no characters"),
    "pipe": (os.mkfifo, "not a regular file"),
    "folder": (lambda p: p.mkdir(), "lacks labels"),
    "missing": (lambda p: None, "No such file"),
}
FOLDER = {
    "lacks": (lambda p: (in_folder(p), (p / "labels.npy").unlink()), "lacks labels"),
    "unknown": (lambda p: in_folder(p, groups=Y), "does not know: groups"),
    "other file": (lambda p: (in_folder(p), (p / "group.csv").touch()), r"does not know: group\.csv \(not \.npy\)"),
    "folder in it": (lambda p: (in_folder(p), (p / "group.npy").mkdir()), "not a regular file"),
    "pipe in it": (lambda p: (in_folder(p), os.mkfifo(p / "group.npy")), "not a regular file"),
    "link to nothing": (lambda p: (in_folder(p), (p / "group.npy").symlink_to(p / "none")), "No such file"),
    "objects": (lambda p: in_folder(p, group=npy(np.array([{}] * N))), "pickled objects"),
    "cut off": (cut(in_folder, "logits.npy"), "12800 bytes, but holds 12600"),
    "garbage behind": (lambda p: in_folder(p, logits=npy(Z) + bytes(100)), "but holds 12900"),
    "empty file": (lambda p: in_folder(p, logits=b""), "npy header"),
    "20 GB declared": (lambda p: in_folder(p, logits=header((10**9, 2)) + bytes(20_000_000)), "more than the limit"),
    "npz inside": (
        lambda p: (in_folder(p), np.savez(p / "logits.npy.npz"), (p / "logits.npy.npz").rename(p / "logits.npy")),
        "npy h",
    ),
}
CSV = {
    "nothing": (text(""), "lacks columns label, is_member, p_0"),
    "header alone": (text("label,is_member,p_0,p_1\n"), "has a header and no rows"),
    "unknown": (columns(z_3="q_3"), "does not know: 'q_3'"),
    "index": (lambda p: TABLE.to_csv(p), "names that are empty"),
    "no label": (columns("label"), "lacks columns label; it knows label, is_member"),
    "missing and unknown": (columns(label="labels"), "lacks columns label and holds .* know: 'labels'"),
    "no answers": (columns("z_0", "z_1", "z_2", "z_3"), r"lacks columns p_0, p_1, … or z_0"),
    "gap": (columns("z_1"), "lacks column z_1; the answers must be numbered"),
    "from 1": (columns(z_0="z_4"), "lacks column z_0"),
    "leading zero": (columns(z_0="z_00"), "does not know: 'z_00'"),
    "both kinds": (columns(z_3="p_0"), "give one of them"),
    "twice": (columns(z_3="z_0"), "stand twice: 'z_0'"),
    "x_": (columns(z_3="x_"), "does not know: 'x_'"),
    "references": (columns(z_3="shadow_logits"), "does not know: 'shadow_logits'"),
    "escape codes": (columns(z_3="\x1b[2J\nerror: no"), r"does not know: '\\x1b\[2J\\nerror: no'"),
    "tabs": (lambda p: TABLE.to_csv(p, index=False, sep="\t"), r"seems to be separated by '\\t', not by commas"),
    "named classes": (csv_line("cat,True,1,1,1,1"), "expected a whole number, got 'cat'; number the classes from 0"),
    "nan as a label": (csv_line("nan,True,1,1,1,1"), "column label, row 299 .*: the value is missing"),
    "NA as a member": (csv_line("1,NA,1,1,1,1"), "column is_member, row 299 .*: the value is missing"),
    "semicolons": (lambda p: TABLE.to_csv(p, index=False, sep=";"), "seems to be separated by ';', not by commas"),
    "short row": (csv_line("1,True,0.5"), r"row 299 \(counted from 0, after the header\): 3 values under a header of 6"),
    "long row": (csv_line("1,True,1,1,1,1,1"), "row 299 .*: 7 values"),
    "blank line": (csv_line(""), "row 299 .*: 0 values"),
    "word": (csv_line("1,True,1,many,1,1"), "column z_1, row 299 .*: expected a number, got 'many'"),
    "control characters": (csv_line("1,True,1,\x1b[31m,1,1"), r"got '\\x1b\[31m'"),
    "zero character": (csv_line("1,True,1,\0,1,1"), r"got '\\x00'"),
    "half a label": (csv_line("1.5,True,1,1,1,1"), "column label, row 299 .*: expected a whole number, got '1.5'"),
    "large label": (csv_line(f"{10**30},True,1,1,1,1"), "expected a whole number"),
    "label of many digits": (csv_line(f"{'9' * 9999},True,1,1,1,1"), "expected a whole number, got '9{40}'"),
    "perhaps": (csv_line("1,perhaps,1,1,1,1"), "column is_member, row 299 .*: expected 0, 1, true or false, got 'perhaps'"),
    "2": (csv_line("1,2,1,1,1,1"), "expected 0, 1, true or false, got '2'"),
    "missing number": (lambda p: in_csv(p, z_1=gap(0.5)), "column z_1, row 300 .*: the value is missing"),
    "nan": (csv_line("1,True,1,nan,1,1"), "column z_1, row 299 .*: the value is missing"),
    "infinite": (csv_line("1,True,1,inf,1,1"), "1 logits are NaN or infinite"),
    "missing label": (
        lambda p: in_csv(p, label=pd.array(gap(1), "Int64")),
        "column label, row 300 .*: the value is missing",
    ),
    "missing member": (lambda p: in_csv(p, is_member=gap(True)), "column is_member, row 300 .*: the value is missing"),
    "missing group": (lambda p: in_csv(p, group=gap("a")), "column group, row 300 .*: the value is missing"),
    "missing feature": (lambda p: in_csv(p, x_age=gap(3.5)), "column x_age, row 300 .*: the value is missing"),
    "zero in a group": (lambda p: in_csv(p, group=["a\0"] * N), "column group, row 0 .*: a name with a zero"),
    "open quote": (csv_line('1,True,1,1,1,"1'), "not CSV in UTF-8"),
    "text behind a quote": (csv_line('1,True,1,1,1,"1"2'), "not CSV in UTF-8"),
    "latin 1": (lambda p: p.write_bytes(TABLE.assign(group="é").to_csv(index=False).encode("latin1")), "not CSV in UTF-8"),
    "UTF-16": (lambda p: p.write_bytes(TABLE.to_csv(index=False).encode("utf-16")), "not CSV in UTF-8"),
    "binary": (text(np.random.default_rng(0).bytes(5000)), "not CSV in UTF-8|does not know"),
    "an npz": (lambda p: (in_npz(p.with_suffix(".npz")), p.with_suffix(".npz").rename(p)), "not CSV|does not know"),
    "long value": (csv_line("1,True,1,1,1," + "1" * 200_000), "field larger than field limit"),
    "wide names": (
        lambda p: in_csv(p, group=["x" * 10_000 if i == 7 else "x" * 9 for i in range(N)]),
        "would take 0.0149 GiB",
    ),
}
PARQUET = {
    "nothing": (text(""), "not a whole .parquet file"),
    "text": (text("label,is_member\n" * 10), "not a whole .parquet file"),
    "cut off": (cut(in_parquet, ""), "not a whole .parquet file"),
    "no rows": (lambda p: in_parquet(p, TABLE[:0]), "has 0 rows"),
    "unknown": (lambda p: in_parquet(p, who="a"), "does not know: 'who'"),
    "index": (lambda p: (pytest.importorskip("pyarrow"), TABLE[Y > 0].to_parquet(p)), "does not know: '__index_level_0__'"),
    "no label": (lambda p: in_parquet(p, TABLE.drop(columns="label")), "lacks columns label"),
    "gap": (lambda p: in_parquet(p, TABLE.drop(columns="z_0")), "lacks column z_0"),
    "missing number": (lambda p: in_parquet(p, z_1=gap(0.5)), "column z_1, row 300 .*: the value is missing"),
    "missing whole": (
        lambda p: in_parquet(p, label=pd.array(gap(1), "Int64")),
        "column label, row 300 .*: the value is missing",
    ),
    "missing member": (lambda p: in_parquet(p, is_member=gap(True)), "column is_member, row 300 .*: the value is missing"),
    "missing group": (lambda p: in_parquet(p, group=gap("a")), "column group, row 300 .*: the value is missing"),
    "blank group": (lambda p: in_parquet(p, group=[" "] * N), "column group, row 0 .*: the value is missing"),
    "label of text": (lambda p: in_parquet(p, label="1"), "column label: expected numbers, got .*string"),
    "broken label": (lambda p: in_parquet(p, label=Y + 0.5), "labels must be integers, got float64"),
    "member 2": (lambda p: in_parquet(p, is_member=Y), "is_member must hold nothing but 0 and 1"),
    "perhaps": (lambda p: in_parquet(p, is_member="perhaps"), "row 0 .*: expected 0, 1, true or false, got 'perhaps'"),
    "dates": (lambda p: in_parquet(p, x_day=pd.Timestamp("2020-01-01")), "column x_day: expected numbers, got timestamp"),
    "lists": (nested_parquet, "column group: expected numbers, got list"),
    "objects": (lambda p: in_parquet(p, group=[pickle.dumps({})] * N), "column group: expected numbers, got binary"),
    "no characters": (bad_text_parquet, "cannot be read"),
    "long names": (repeated_parquet, "would take 14.9 GiB"),
    "many rows": (long_parquet, "would take 0.298 GiB"),
}
LIMITED = {"npz: bomb", "csv: wide names", "parquet: many rows"}  # 10 MB for these, to have small files
NPZ["bomb"] = (bomb, "would take 0.279 GiB, more than the limit of 0.01 GiB")
FILES = {
    f"{form}: {name}": (f"outputs.{form}", *made)
    for form, cases in (("npz", NPZ), ("folder", FOLDER), ("csv", CSV), ("parquet", PARQUET))
    for name, made in cases.items()
}


def test_there_are_many_kinds_of_them():
    assert len(FILES) >= 140 and min(len(cases) for cases in (NPZ, FOLDER, CSV, PARQUET)) >= 12


@pytest.mark.parametrize("name", FILES)
def test_files_it_cannot_use(name, tmp_path, capsys):
    """One line, exit code 2, and no more memory than twice what lies on disk, and 10 MB for Python's own parsers."""
    file, make, message = FILES[name]
    make(tmp_path / file)
    on_disk = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    limit = ["--max-gb", "0.01"] if name in LIMITED else []
    tracemalloc.start()
    try:
        code = main([str(tmp_path / file), "--at-fpr", "0.1", *limit])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    printed = capsys.readouterr()
    assert (code, printed.out) == (2, "") and printed.err.count("\n") == 1 and printed.err[:-1].isprintable()
    assert re.match(f"error: .*({message})", printed.err), printed.err
    assert len(printed.err) < 900 + len(str(tmp_path))
    for never in ("allow_pickle", "unsafe", "max_header_size", "Traceback"):
        assert never not in printed.err
    assert peak < 2 * on_disk + 10e6


def test_what_a_table_declares_is_not_read_into_memory(tmp_path):
    """Arrow's memory is its own, so it is asked itself, in a process that has read nothing else."""
    pytest.importorskip("pyarrow")
    long_parquet(tmp_path / "rows.parquet")
    repeated_parquet(tmp_path / "names.parquet")
    script = """
import sys, pyarrow
from mia_helpers.audit import main
print(main([sys.argv[1], "--max-gb", "0.1"]), main([sys.argv[2]]), pyarrow.default_memory_pool().max_memory())
"""
    arguments = [sys.executable, "-c", script, str(tmp_path / "rows.parquet"), str(tmp_path / "names.parquet")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    first, second, peak = map(int, done.stdout.split())
    assert (first, second) == (2, 2) and peak < 100e6


def test_long_strings_in_a_packed_table_are_counted_before_they_are_read(tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    table = pyarrow.Table.from_pandas(TABLE.assign(group=["x" * 10_000 + str(i) for i in range(N)]))
    parquet.write_table(table, tmp_path / "a.parquet", use_dictionary=False, compression="zstd")
    assert (tmp_path / "a.parquet").stat().st_size < 200_000
    monkeypatch.delattr(tables, "_held")
    with pytest.raises(InputError, match="more than the limit"):
        load(tmp_path / "a.parquet", max_bytes=1_000_000)


def test_a_header_of_20_gb_in_little_memory(tmp_path):
    """The whole process may grow by 100 MB, whatever the limit says."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("the size of the address space is read from /proc")
    in_npz(tmp_path / "a.npz", logits=header((10**9, 2)) + bytes(20_000_000))
    script = """
import resource, sys
from mia_helpers.audit import main
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + 100 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
print(main([sys.argv[1]]), main([sys.argv[1], "--max-gb", "1000"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "a.npz")], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["2", "2"]
    assert re.fullmatch(
        "error: .* more than the limit of 8 GiB\nerror: .* 16000000000 bytes, but holds 20000000; .*\n", done.stderr
    )


def test_a_pickle_is_never_opened(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    evil = np.array([Evil()] * N, dtype=object)
    np.savez(tmp_path / "a.npz", labels=Y, is_member=M, logits=Z, group=evil)
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Evil()))
    (tmp_path / "c.npz").write_bytes(npy(evil))
    in_folder(tmp_path / "d", group=npy(evil))
    for name in ("a.npz", "b.npz", "c.npz", "d"):
        with pytest.raises(InputError):
            load(tmp_path / name)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("write", [in_npz, in_csv, in_parquet], ids=["npz", "csv", "parquet"])
def test_a_file_with_changed_bytes_is_read_or_refused(write, tmp_path):
    """Never an error of another kind, which would be a mistake of the audit."""
    path = tmp_path / f"a.{write.__name__[3:]}"
    if write is in_npz:
        in_npz(path, zipfile.ZIP_DEFLATED, labels=Y[:9], is_member=M[:9], logits=Z[:9], group=Y[:9].astype(str))
    else:
        write(path, group=Y.astype(str))
    whole, rng, refused = path.read_bytes(), np.random.default_rng(0), 0
    for _ in range(400):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), rng.integers(1, 4)):
            data[place] = rng.choice([0, 255, data[place] ^ 1, *b'(,"\n'])
        path.write_bytes(data)
        try:
            load(path)
        except InputError:
            refused += 1
    assert refused > 20


def test_a_parquet_file_in_which_any_byte_changed_is_read_or_refused(tmp_path):
    """Not compressed, so that it is the values, the places in a dictionary, and the strings that change."""
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    table = TABLE[["label", "is_member", "z_0", "z_1"]][:9].assign(group=list("abcdeabcd"), person=Y[:9].astype(str))
    parquet.write_table(
        pyarrow.Table.from_pandas(table).replace_schema_metadata(),
        tmp_path / "a.parquet",
        compression="none",
        store_schema=False,
    )
    whole, refused = (tmp_path / "a.parquet").read_bytes(), 0
    for place in range(len(whole)):
        (tmp_path / "a.parquet").write_bytes(whole[:place] + b"\xff" + whole[place + 1 :])
        try:
            load(tmp_path / "a.parquet")
        except InputError:
            refused += 1
    assert 500 < refused < len(whole)


def test_headers_with_changed_bytes_are_read_or_refused(tmp_path):
    in_folder(tmp_path / "a")
    whole, rng, refused = npy(Y), np.random.default_rng(0), 0
    for _ in range(1000):
        data = bytearray(whole)
        for place in rng.integers(0, 70, rng.integers(1, 4)):
            data[place] = rng.choice([0, 255, *b"(),'{}[]-0xLOV|:\n"])
        (tmp_path / "a" / "labels.npy").write_bytes(data)
        try:
            load(tmp_path / "a")
        except InputError:
            refused += 1
    assert refused > 500


@given(
    st.one_of(st.lists(st.integers(-3, 2**66), max_size=3).map(lambda shape: str(tuple(shape))), st.text(max_size=20)),
    st.one_of(
        st.sampled_from(["'<f8'", "'|b1'", "'<U3'", "'|S2'", "'|O'", "'<M8[s]'", "'|V4'", "[('a', '<f8')]"]),
        st.text(max_size=12),
    ),
    st.sampled_from(["False", "True", "None", "0x1"]),
    st.sampled_from([1, 2, 3, 9]),
    st.binary(max_size=40),
)
@hypothesis_settings(max_examples=300, deadline=None)
def test_whatever_a_header_says_the_array_is_no_larger_than_its_bytes(shape, descr, order, version, rest):
    with tempfile.TemporaryDirectory() as folder:
        in_folder(Path(folder) / "a", labels=header(shape, descr, order, version) + rest)
        tracemalloc.start()
        try:
            found = load(Path(folder) / "a")["labels"]
        except InputError:
            found = np.empty(0)
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    assert found.nbytes <= len(rest) and found.dtype.kind in "biufMSU" and peak < 10e6


def test_names_of_files_cannot_paint_the_screen(tmp_path, capsys):
    in_npz(tmp_path / "\x1b[2Ja\nb.npz", groups=Y)
    for name in ("\x1b[2Ja\nb.npz", "\x1b[2J.csv"):
        assert main([str(tmp_path / name), "--at-fpr", "0.1"]) == 2
        printed = capsys.readouterr().err
        assert printed.startswith("error: ") and printed[:-1].isprintable()


def test_files_that_one_may_not_read(tmp_path, capsys):
    in_npz(tmp_path / "a.npz")
    in_folder(tmp_path / "b")
    for path in (tmp_path / "a.npz", tmp_path / "b" / "logits.npy"):
        path.chmod(0)
        if os.access(path, os.R_OK):
            pytest.skip("this user may read everything")
    for name in ("a.npz", "b"):
        assert main([str(tmp_path / name)]) == 2
        assert re.fullmatch("error: .*Permission denied.*\n", capsys.readouterr().err)


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch, capsys):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main([str(tmp_path / "a.parquet")]) == 2
    assert capsys.readouterr().err.endswith("a.parquet needs pyarrow: pip install pyarrow\n")


def test_limits(tmp_path, capsys):
    in_npz(tmp_path / "a.npz", zipfile.ZIP_DEFLATED)
    in_folder(tmp_path / "b")
    in_csv(tmp_path / "c.csv")
    in_parquet(tmp_path / "d.parquet")
    for name in ("a.npz", "b", "c.csv", "d.parquet"):
        assert load(tmp_path / name, max_bytes=200_000)
        with pytest.raises(InputError, match="more than the limit"):
            load(tmp_path / name, max_bytes=14_000)  # each array is smaller
    for wrong in ("0", "-1", "nan", "inf", "1e300"):
        assert main([str(tmp_path / "a.npz"), f"--max-gb={wrong}"]) == 2
        assert "--max-gb must be positive" in capsys.readouterr().err


@pytest.mark.parametrize("error", [TypeError, ValueError, KeyError, UnicodeError])
@pytest.mark.parametrize(
    ("room", "inner", "write", "name"),
    [
        (files, "_array_names", in_npz, "a.npz"),
        (files, "_array", in_npz, "a.npz"),
        (files, "_sound", in_npz, "a.npz"),
        (files, "_array", in_folder, "a"),
        (tables, "_arrays", in_csv, "a.csv"),
        (tables, "_parsed", in_csv, "a.csv"),
        (tables, "_stacked", in_csv, "a.csv"),
        (tables, "_arrays", in_parquet, "a.parquet"),
        (tables, "_stacked", in_parquet, "a.parquet"),
        (command, "load", in_csv, "a.csv"),
        (command, "_write", in_csv, "a.csv"),
    ],
)
def test_a_mistake_in_reading_is_not_blamed_on_the_file(room, inner, write, name, error, tmp_path, capsys, monkeypatch):
    def broken(*args, **kwargs):
        raise error("unsupported operand")

    write(tmp_path / name)
    monkeypatch.setattr(room, inner, broken)
    assert main([str(tmp_path / name), "--at-fpr", "0.1", "--json", str(tmp_path / "r.json")]) == 3
    printed = capsys.readouterr()
    assert printed.out == "" and "Traceback" in printed.err and "in broken" in printed.err
    assert "mistake in the audit, not in its input" in printed.err.splitlines()[-1]


# ---- what it writes


def a_report(**changed):
    """What the command asks of a report."""
    said = {name: lambda name=name: name for name in ("to_json", "to_markdown", "to_html", "summary")}
    scores = pd.DataFrame({"loss": [0.5, -1.25], "who": ["a,b", "é"]})
    return SimpleNamespace(**said, scores=scores, status="no evidence", **changed)


@pytest.fixture
def no_audit(monkeypatch):
    """An audit that takes no time; its calls."""
    calls = []

    def audit(*args, **kwargs):
        calls.append(kwargs)
        return a_report()

    monkeypatch.setattr(command, "audit", audit)
    return calls


def test_reports_and_scores_are_written(no_audit, tmp_path):
    in_csv(tmp_path / "a.csv", person=Y)
    written = {kind: tmp_path / f"out.{kind}" for kind in ("json", "markdown", "html", "scores")}
    written["json"].write_text("old and longer than the new one")
    assert main([str(tmp_path / "a.csv"), *(f"--{kind}={file}" for kind, file in written.items())]) == 0
    texts = [file.read_bytes().decode() for file in written.values()]
    assert texts == ["to_json\n", "to_markdown\n", "to_html\n", 'loss,who\n0.5,"a,b"\n-1.25,é\n']
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "a.csv", *written.values()])
    assert (no_audit[0]["person"] == Y.astype(str)).all() and "group" not in no_audit[0]


def test_coins_are_passed_on_when_asked_for(no_audit, tmp_path, monkeypatch):
    in_npz(tmp_path / "a.npz")
    monkeypatch.setattr(command, "Settings", lambda **given: given)
    assert main([str(tmp_path / "a.npz"), "--coins", "--seed", "3"]) == main([str(tmp_path / "a.npz")]) == 0
    with_coins, without = (call["settings"] for call in no_audit)
    assert with_coins == {"at_fpr": 0.01, "confidence": 0.95, "seed": 3, "coins": True} and not without["coins"]


@pytest.mark.parametrize("kind", ["json", "markdown", "html", "scores"])
@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("none/r", "No such file"),
        ("a.npz/r", "Not a directory"),
        ("folder", "Is a directory"),
        ("a.npz", "would be written over"),
        ("folder/../a.npz", "would be written over"),
        ("link", "would be written over"),
        ("x" * 300, "File name too long"),
    ],
)
def test_places_that_cannot_be_written_are_known_before_the_audit(kind, place, message, no_audit, tmp_path, capsys):
    in_npz(tmp_path / "a.npz")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a.npz")
    before = (tmp_path / "a.npz").read_bytes()
    assert main([str(tmp_path / "a.npz"), f"--{kind}", str(tmp_path / place)]) == 2
    printed = capsys.readouterr()
    assert re.fullmatch(f"error: .*{message}.*\n", printed.err) and printed.out == "" and not no_audit
    assert {p.name for p in tmp_path.iterdir()} == {"a.npz", "folder", "link"} and not list((tmp_path / "folder").iterdir())
    assert (tmp_path / "a.npz").read_bytes() == before


def test_two_reports_in_one_file_are_refused(no_audit, tmp_path, capsys):
    in_npz(tmp_path / "a.npz")
    assert main([str(tmp_path / "a.npz"), "--json", str(tmp_path / "r"), "--html", str(tmp_path / "r")]) == 2
    assert "would be written over" in capsys.readouterr().err and not no_audit


def test_places_that_may_not_be_written(no_audit, tmp_path, capsys):
    in_npz(tmp_path / "a.npz")
    (tmp_path / "shut").mkdir()
    (tmp_path / "shut" / "r.json").write_text("old")
    (tmp_path / "kept").write_text("old")
    for path in (tmp_path / "kept", tmp_path / "shut"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    if os.access(tmp_path / "kept", os.W_OK):
        pytest.skip("this user may write everything")
    for place in ("kept", "shut/r.json", "shut/new"):
        assert main([str(tmp_path / "a.npz"), "--json", str(tmp_path / place)]) == 2
        assert re.fullmatch("error: .*Permission denied.*\n", capsys.readouterr().err) and not no_audit
    (tmp_path / "shut").chmod(0o755)


@pytest.mark.parametrize("inner", ["write_text", "replace"])
def test_a_disk_that_fills_up_leaves_the_old_report(inner, no_audit, tmp_path, capsys, monkeypatch):
    in_npz(tmp_path / "a.npz")
    (tmp_path / "r.json").write_text("old")

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path if inner == "write_text" else os, inner, full)
    assert main([str(tmp_path / "a.npz"), "--json", str(tmp_path / "r.json")]) == 2
    assert re.fullmatch("error: .*No space left.*\n", capsys.readouterr().err)
    assert (tmp_path / "r.json").read_text() == "old" and len(list(tmp_path.iterdir())) == 2


def test_a_link_and_a_pipe_stay_what_they_are(no_audit, tmp_path):
    """A pipe stands for all that is no file. Not /dev/null: a mistake, as root, would replace it for the whole machine."""
    in_npz(tmp_path / "a.npz")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        for _ in range(2):  # a link to a file that is not there, and to one that is
            arguments = [str(tmp_path / "a.npz"), "--json", str(tmp_path / "link"), "--html", str(tmp_path / "pipe")]
            assert main(arguments) == 0
            assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_text() == "to_json\n"
            assert (tmp_path / "pipe").is_fifo() and os.read(reader, 100) == b"to_html\n"
    finally:
        os.close(reader)


# ---- how it is called


def test_the_installed_command_is_the_module(tmp_path):
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
    module, name = scripts["mia-audit"].split(":")
    launcher = tmp_path / "mia-audit"  # as pip writes it
    launcher.write_text(f"import sys\nfrom {module} import {name}\nsys.exit({name}())\n")
    in_csv(tmp_path / "a.csv")
    said = []
    for called in ([str(launcher)], ["-m", "mia_helpers.audit"]):
        for arguments, code in ((["a.csv", "--at-fpr", "0.1"], 0), (["none.csv"], 2), (["--help"], 0)):
            done = subprocess.run([sys.executable, *called, *arguments], cwd=tmp_path, capture_output=True, text=True)
            assert done.returncode == code
            said.append(done.stdout + done.stderr)
    assert said[:2] == said[3:5] and said[1] == "error: [Errno 2] No such file or directory: 'none.csv'\n"
    assert said[2].startswith("usage: mia-audit [-h]") and said[5].startswith("usage: python -m mia_helpers.audit [-h]")
    for form in (".npz", ".npy", ".csv", ".parquet", "label", "person", "p_0", "z_0", "x_<name>"):
        assert form in said[2]


def test_reading_a_csv_imports_neither_pandas_nor_pyarrow(tmp_path):
    in_csv(tmp_path / "a.csv")
    script = f"import sys\nfrom mia_helpers.audit import load\nload({str(tmp_path / 'a.csv')!r})\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"torch", "pandas", "pyarrow"} & {*done.stdout.split()}
