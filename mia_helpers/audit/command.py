"""The command line: `mia-audit outputs.npz --strict --fail-above-tpr 0.05`, a gate for CI.

Exit code 0 (not above the gate, or no gate), 1 (above it), 2 (input that it cannot use, or a gate that it cannot decide: one
line says why) or 3 (a mistake in the audit itself: a traceback, and no verdict).
"""

import argparse
import os
import sys
import traceback
from pathlib import Path

from mia_helpers.audit.files import ARRAYS, MAX_BYTES, OF_REFERENCES, load
from mia_helpers.audit.gates import UNLIKE
from mia_helpers.audit.report import NOT_COMPARABLE, AuditReport
from mia_helpers.audit.run import audit
from mia_helpers.audit.settings import References, Settings
from mia_helpers.inputs import InputError

WRITTEN = {
    "json": (lambda report: report.to_json() + "\n", "write the report as JSON"),
    "markdown": (lambda report: report.to_markdown() + "\n", "write the report as Markdown"),
    "html": (lambda report: report.to_html() + "\n", "write the report as a page with pictures, to look at or print"),
    "scores": (lambda report: report.scores.to_csv(index=False), "write each example's scores as CSV"),
}  # option -> its text from a report, and what --help says
INPUT = f""".npz file with arrays from {", ".join(ARRAYS)}; or a folder of .npy files, named like these; or .csv or .parquet
(needs pyarrow) with columns label, is_member, p_0 p_1 … (probabilities) or z_0 z_1 … (logits) and, if you like, group,
person and x_<name> (features): no reference models in these two"""


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code.

    0 below the gate, 1 above it, 2 for input that cannot be used and for a gate that is undecided, 3 for a mistake in the
    audit itself, after its traceback: not 1, with which Python would end, since that says "above".
    """
    options = _parser().parse_args(arguments)
    try:
        return _checked(options)
    except (InputError, OSError, MemoryError) as error:
        print(f"error: {_one_line(error)}", file=sys.stderr)
        return 2
    except Exception:
        traceback.print_exc()
        print("error: this is a mistake in the audit, not in its input; nothing was found out", file=sys.stderr)
        return 3


def _parser() -> argparse.ArgumentParser:
    called = "mia-audit" if Path(sys.argv[0]).stem == "mia-audit" else "python -m mia_helpers.audit"
    parser = argparse.ArgumentParser(
        prog=called,
        description="Audit a model's answers for membership leakage.",
        epilog="Exit code: 0 below the gate (or no gate), 1 above it, 2 for input that cannot be used or a gate that is "
        "undecided (not comparable, tied answers), 3 for a mistake in the audit itself.",
    )
    parser.add_argument("file", help=INPUT)
    parser.add_argument(
        "--fail-above-tpr",
        type=float,
        metavar="RATE",
        help="exit with 1 if the strongest attack's true-positive rate is above this",
    )
    parser.add_argument(
        "--fail-above-auc",
        type=float,
        metavar="AUC",
        help="exit with 1 if the largest AUC is above this; also for models whose answers are tied, as trees' are",
    )
    parser.add_argument("--at-fpr", type=float, default=0.01, metavar="RATE", help="the TPR is that at this FPR (0.01)")
    parser.add_argument(
        "--strict",
        action="store_true",
        help="exit with 2 if members and non-members differ without the model, or something looks like a slip",
    )
    parser.add_argument("--confidence", type=float, default=0.95, help="of all statements together (0.95)")
    parser.add_argument("--coins", action="store_true", help="members were drawn by a fair coin, tossed for each example")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--max-gb",
        type=float,
        default=MAX_BYTES / 2**30,
        metavar="GB",
        help="refuse files with more than this (%(default)g)",
    )
    for kind, (_, says) in WRITTEN.items():
        parser.add_argument(f"--{kind}", metavar="FILE", help=says)
    return parser


def _checked(options: argparse.Namespace) -> int:
    """Audit the file, write and print what was asked for; the exit code."""
    if options.fail_above_tpr is not None and not 0 <= options.fail_above_tpr <= 1:
        raise InputError(f"--fail-above-tpr must lie in [0, 1], got {options.fail_above_tpr:g}")
    if options.fail_above_auc is not None and not 0.5 <= options.fail_above_auc <= 1:
        raise InputError(f"--fail-above-auc must lie in [0.5, 1], got {options.fail_above_auc:g}")
    if not 0 < options.max_gb <= 2**20:
        raise InputError(f"--max-gb must be positive and at most {2**20}, got {options.max_gb:g}")
    files = {kind: Path(file) for kind in WRITTEN if (file := getattr(options, kind)) is not None}
    _can_be_written(Path(options.file), list(files.values()))
    arrays = load(options.file, int(options.max_gb * 2**30))
    shadow_logits, shadow_probabilities, member_mask = (arrays.pop(name, None) for name in OF_REFERENCES)
    references = References(shadow_logits, shadow_probabilities, member_mask)
    settings = Settings(at_fpr=options.at_fpr, confidence=options.confidence, seed=options.seed, coins=options.coins)
    report = audit(**arrays, references=references, settings=settings)
    for file, text in {file: WRITTEN[kind][0](report) for kind, file in files.items()}.items():
        _write(file, text)
    print(report.summary())
    if options.strict and report.status == NOT_COMPARABLE:
        print(f"error: {UNLIKE} (--strict)", file=sys.stderr)
        return 2
    return _gates(report, options.fail_above_tpr, options.fail_above_auc)


def _gates(report: AuditReport, tpr_limit: float | None, auc_limit: float | None) -> int:
    """Print what each gate that was asked for says; the exit code: one that is shut counts before one that is undecided."""
    lines = [] if tpr_limit is None else [report.gate(tpr_limit)]
    lines += [] if auc_limit is None else [report.gate_auc(auc_limit)]
    print(*lines, sep="\n", end="\n" * bool(lines))
    if any(line.startswith("gate SHUT") for line in lines):
        return 1
    if any(line.startswith("gate undecided") for line in lines):
        print("error: a gate is undecided, which is not open", file=sys.stderr)
        return 2
    return 0


def _can_be_written(source: Path, files: list[Path]) -> None:
    """An error now rather than after a long audit: the files must differ, and their places can be written."""
    places = [source.resolve(), *(file.resolve() for file in files if _is_whole(file))]
    if len(set(places)) < len(places):
        raise InputError("two of the files on the command line are the same: a report would be written over")
    for file in files:
        if file.is_file() or file.is_dir():  # to open a pipe could mean to wait
            os.close(os.open(file, os.O_WRONLY))
        if _is_whole(file):
            temporary = _beside(file)
            temporary.touch()
            temporary.unlink()


def _write(file: Path, text: str) -> None:
    """Write all or nothing: beside the file, then in its place."""
    temporary = _beside(file) if _is_whole(file) else file
    try:
        temporary.write_text(text, encoding="utf-8", newline="")
        if temporary != file:
            os.replace(temporary, file.resolve())
    finally:
        if temporary != file:
            temporary.unlink(missing_ok=True)


def _is_whole(file: Path) -> bool:
    """Whether the file is, or will be, one that can be replaced; /dev/stdout must not."""
    return file.is_file() or not file.exists()


def _beside(file: Path) -> Path:
    place = file.resolve()
    return place.with_name(f".{place.name}.{os.getpid()}.tmp")


def _one_line(error: BaseException) -> str:
    """What went wrong, on one line without control characters: parts of it are a file's."""
    text = " ".join(str(error).split()) or type(error).__name__
    return "".join(letter if letter.isprintable() else "?" for letter in text[:1000])
