"""The command line: `python -m mia_helpers.audit outputs.npz --strict --fail-above-tpr 0.05`, a gate for CI.

Exit code 0 (not above the gate, or no gate), 1 (above it), 2 (input that it cannot use: one line says why) or 3 (a mistake
in the audit itself: a traceback, and no verdict).
"""

import argparse
import sys
import traceback
import zipfile
import zlib
from pathlib import Path

import numpy as np

from mia_helpers.audit.report import NOT_COMPARABLE
from mia_helpers.audit.run import audit
from mia_helpers.audit.settings import References, Settings
from mia_helpers.inputs import InputError

OF_REFERENCES = ("shadow_logits", "shadow_probabilities", "member_mask")
ARRAYS = ("logits", "probabilities", "labels", "is_member", "features", "group", *OF_REFERENCES)


def load(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file, shapes as in `audit`, which checks them; nothing is ever unpickled.

    Raises:
        ValueError: not an .npz file, a damaged one, one with pickled arrays, or one that lacks labels, is_member or answers.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        try:
            archive = np.load(file, allow_pickle=False)
        except (ValueError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{path} is not a whole .npz file ({_one_line(error)}); write it with numpy.savez") from error
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise InputError(f"{path} holds a single array (.npy); save all arrays in one file with numpy.savez")
        found, arrays = sorted(archive.files), {}
        for name in set(found) & set(ARRAYS):
            try:
                arrays[name] = archive[name]
            except (
                ValueError,
                EOFError,
                zipfile.BadZipFile,
                zlib.error,
                NotImplementedError,
                RuntimeError,
                MemoryError,
            ) as error:
                if "pickle" in str(error):
                    raise InputError(
                        f"array {name} in {path} holds pickled objects, which could run code and are refused; "
                        "save it as numbers or strings"
                    ) from error
                raise InputError(
                    f"array {name} in {path} cannot be read ({_one_line(error)}); is the file cut off?"
                ) from error
    missing = [name for name in ("labels", "is_member") if name not in arrays]
    if missing := missing + ["logits or probabilities"] * ("logits" not in arrays and "probabilities" not in arrays):
        raise InputError(f"{path} lacks {', '.join(missing)}; it holds {', '.join(found) or 'nothing'}")
    if unknown := sorted(set(found) - set(ARRAYS)):
        raise InputError(
            f"{path} holds arrays that the audit does not know: {', '.join(unknown)}; it knows {', '.join(ARRAYS)}"
        )
    return arrays


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code.

    0 below the gate, 1 above it, 2 for input that cannot be used, 3 for a mistake in the audit itself, after its traceback:
    not 1, with which Python would end, since that says "above".
    """
    parser = argparse.ArgumentParser(
        prog="python -m mia_helpers.audit",
        description="Audit a model's answers for membership leakage.",
        epilog="Exit code: 0 below the gate (or no gate), 1 above it, 2 for input that cannot be used, 3 for a "
        "mistake in the audit itself.",
    )
    parser.add_argument("file", help=f".npz file with arrays from {', '.join(ARRAYS)}")
    parser.add_argument(
        "--fail-above-tpr",
        type=float,
        metavar="RATE",
        help="exit with 1 if the strongest attack's true-positive rate is above this",
    )
    parser.add_argument("--at-fpr", type=float, default=0.01, metavar="RATE", help="… at this false-positive rate (0.01)")
    parser.add_argument(
        "--strict", action="store_true", help="exit with 2 if members and non-members differ without the model"
    )
    parser.add_argument("--confidence", type=float, default=0.95, help="of all statements together (0.95)")
    parser.add_argument("--seed", type=int, default=0)
    for kind in ("json", "markdown", "html"):
        parser.add_argument(f"--{kind}", metavar="FILE", help=f"write the report as {kind}")
    options = parser.parse_args(arguments)
    try:
        return _checked(options)
    except (InputError, OSError, MemoryError) as error:
        print(f"error: {_one_line(error)}", file=sys.stderr)
        return 2
    except Exception:
        traceback.print_exc()
        print("error: this is a mistake in the audit, not in its input; nothing was found out", file=sys.stderr)
        return 3


def _checked(options: argparse.Namespace) -> int:
    """Audit the file, write and print what was asked for; the exit code."""
    if options.fail_above_tpr is not None and not 0 <= options.fail_above_tpr <= 1:
        raise InputError(f"--fail-above-tpr must lie in [0, 1], got {options.fail_above_tpr:g}")
    arrays = load(options.file)
    shadow_logits, shadow_probabilities, member_mask = (arrays.pop(name, None) for name in OF_REFERENCES)
    references = References(shadow_logits, shadow_probabilities, member_mask)
    settings = Settings(at_fpr=options.at_fpr, confidence=options.confidence, seed=options.seed)
    report = audit(**arrays, references=references, settings=settings)
    for file, text in (
        (options.json, report.to_json),
        (options.markdown, report.to_markdown),
        (options.html, report._repr_html_),
    ):
        if file is not None:
            Path(file).write_text(text() + "\n", encoding="utf-8")
    print(report.summary())
    if options.strict and report.status == NOT_COMPARABLE:
        print("error: members and non-members are not comparable (--strict)", file=sys.stderr)
        return 2
    if options.fail_above_tpr is None:
        return 0
    shut = report.exceeds(options.fail_above_tpr)
    print(
        f"gate {'SHUT' if shut else 'open'}: TPR {report.tpr.value:.3f} at {report.at_fpr:.3g} FPR, "
        f"{'above' if shut else 'not above'} {options.fail_above_tpr:g}"
    )
    return int(shut)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
