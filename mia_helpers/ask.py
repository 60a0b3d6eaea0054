"""Asking a model: whatever it is, its answers in one form."""

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin


def probabilities(model: ClassifierMixin, records: ArrayLike, n_classes: int) -> np.ndarray:
    """A fitted scikit-learn classifier's probabilities of classes 0 … n_classes − 1, float64 `[N, C]`.

    A class that the model has not seen gets probability 0, so that the columns of models trained on different members
    mean the same.

    Raises:
        TypeError: the model gives no probabilities.
        ValueError: its classes are not integers in 0 … n_classes − 1.
    """
    if not hasattr(model, "predict_proba"):
        raise TypeError(f"{type(model).__name__} has no predict_proba; wrap it, for instance "
                        "CalibratedClassifierCV(model, ensemble=False)")
    classes = np.asarray(model.classes_)
    if classes.dtype.kind not in "iu" or classes.min() < 0 or classes.max() >= n_classes:
        raise ValueError(f"the model's classes must be integers in 0 … {n_classes - 1}, got {classes.tolist()}; "
                         "number the labels from 0")
    answers = np.asarray(model.predict_proba(records), dtype=np.float64)
    full = np.zeros((len(answers), n_classes))
    full[:, classes] = answers
    return full
