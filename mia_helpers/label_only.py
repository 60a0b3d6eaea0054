"""Attacks with nothing but labels.

Torch side: images in, one number (or row of numbers) for each example out. A label-only attack is given `ask`, a function
from images `[N, …]` to labels `[N]`, and can use nothing else; `Service` makes one of a model and counts the queries.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.stats import norm
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import affine

from mia_helpers.ask import ask as ask_model
from mia_helpers.inputs import InputError, as_array, labels_of_images, whole_number
from mia_helpers.training import seeded

Ask = Callable[[Tensor], np.ndarray]  # images [N, …] -> labels [N]


class Service:
    """A model behind a counter: hand the bound method `labels` or `logits` to an adversary, and nothing else.

    The model is whatever `mia_helpers.ask.ask` can ask.

    Attributes:
        n_queries: images that have been answered so far.
    """

    def __init__(self, model: object):
        self._model, self.n_queries = model, 0

    def labels(self, images: Tensor) -> np.ndarray:
        """The predicted classes of images `[N, …]`, int64 `[N]`."""
        return self.logits(images).argmax(-1)

    def logits(self, images: Tensor) -> np.ndarray:
        """The model's logits, `[N, C]`."""
        answers = ask_model(self._model, images)
        self.n_queries += len(images)
        return answers


def moved(images: Tensor, right: int = 0, down: int = 0, angle: float = 0.0) -> Tensor:
    """Images `[N, 1, H, W]` shifted by whole pixels and turned anticlockwise by degrees; what comes in is paper (0)."""
    return affine(
        images, angle=-angle, translate=[right, down], scale=1.0, shear=[0.0], interpolation=InterpolationMode.BILINEAR
    )


def right_answers(ask: Ask, images: Tensor, labels: Tensor, changes: Sequence[Callable[[Tensor], Tensor]]) -> np.ndarray:
    """Does the model still answer with the label when an image is changed (Choquette-Choo et al. 2020, 2007.14321)?

    Args:
        ask: images `[N, …]` to predicted labels `[N]`. images: `[N, …]`. labels: integers `[N]`.
        changes: K functions from images to as many images of the same shape, for instance shifts; K queries an example.

    Returns:
        bool `[N, K]`. The mean of a row is the example's agreement.

    Raises:
        ValueError: no changes, a change that returns another shape, or labels that do not fit.
    """
    truth = labels_of_images(images, labels)
    if not len(changes):
        raise InputError("changes is empty; give at least one function from images to images, e.g. lambda x: x")
    columns = []
    for i, change in enumerate(changes):
        copies = change(images)
        if copies.shape != images.shape:
            raise InputError(
                f"change {i} turns images {list(images.shape)} into {list(copies.shape)}; it must keep the shape"
            )
        columns.append(_answers(ask, copies) == truth)
    return np.stack(columns, axis=1)


def noise_distance(ask: Ask, images: Tensor, labels: Tensor, *, sigma: float, n_draws: int, seed: int) -> np.ndarray:
    """The distance to the decision boundary, from how often the label survives Gaussian noise.

    If the boundary is a plane at distance d, a copy with noise N(0, σ²) in each pixel gets the label with probability
    Φ(d / σ). So d is estimated as σ Φ⁻¹((k + ½) / (n + 1)), with k of n copies right. Negative: on the wrong side. Noise as
    a label-only signal: Choquette-Choo et al. 2020, 2007.14321; distance as one: also Li & Zhang 2020, 2007.15528, who
    find it with more queries by an adversarial attack.

    Args:
        ask: images `[N, …]` to predicted labels `[N]`. images: `[N, …]`. labels: integers `[N]`.
        sigma: standard deviation of the noise, in units of a pixel value. All copies are asked about as they come, also
            outside [0, 1]. n_draws: copies, and so queries, for each example. seed: of the noise.

    Returns:
        float64 `[N]`, in the units of a pixel value (Euclidean norm over the image); at most σ Φ⁻¹((n + ½) / (n + 1)).

    Raises:
        ValueError: sigma not positive, n_draws below 1, or labels that do not fit.
    """
    truth = labels_of_images(images, labels)
    if not (sigma > 0 and np.isfinite(sigma)):
        raise InputError(f"sigma must be a positive number, got {sigma}")
    n_draws = whole_number("n_draws", n_draws, 1)
    survived = np.zeros(len(truth))
    with seeded(seed):
        for _ in range(n_draws):
            survived += _answers(ask, images + sigma * torch.randn(images.shape)) == truth
    return sigma * norm.ppf((survived + 0.5) / (n_draws + 1))


def _answers(ask: Ask, images: Tensor) -> np.ndarray:
    answers = as_array(ask(images))
    if answers.shape != (len(images),):
        raise InputError(
            f"ask must return one label for each image, [{len(images)}], but returned {list(answers.shape)}; "
            "pass a function that returns labels, e.g. Service(model).labels"
        )
    return answers
