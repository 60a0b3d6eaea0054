"""Trainings that remember less: augmentation and RelaxLoss.

Torch side: layers and loss functions for `training.fit`. DP-SGD is in `private`, masks over the answers in `masks`.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mia_helpers.inputs import positive_numbers, whole_number


class RandomShift(nn.Module):
    """Augmentation as a first layer: while training, each image is moved by up to `pixels` in both directions, at random.

    In evaluation mode images pass unchanged. What is moved in from outside is 0. Images `[N, C, H, W]`, same shape out.

    Raises:
        ValueError: pixels below 1. TypeError: pixels is not whole.
    """

    def __init__(self, pixels: int):
        super().__init__()
        self.pixels = whole_number("pixels", pixels, 1)

    def forward(self, images: Tensor) -> Tensor:
        """The images, moved while training."""
        if not self.training:
            return images
        n, _, height, width = images.shape
        down, right = torch.randint(0, 2 * self.pixels + 1, (2, n, 1, 1), device=images.device)
        rows = down + torch.arange(height, device=images.device)[:, None]
        columns = right + torch.arange(width, device=images.device)
        padded = F.pad(images, [self.pixels] * 4).movedim(1, -1)
        return padded[torch.arange(n, device=images.device)[:, None, None], rows, columns].movedim(-1, 1)

    def extra_repr(self) -> str:
        """What torch shows between the brackets."""
        return f"{self.pixels}"


def relaxloss(alpha: float) -> Callable[[Tensor, Tensor], Tensor]:
    """RelaxLoss: cross-entropy that wants to stay near `alpha` instead of falling to 0 (Chen et al. 2022, 2207.05801).

    A loss function for `training.fit`: outputs `[B, C]`, targets `[B]` to a scalar. While a batch's mean loss is above
    alpha it is lowered as usual. Below, it is raised again, and in half of the batches the wrong classes' probabilities
    are flattened for the examples that are misread, as in the authors' code. That code flattens in every other epoch; a
    loss function knows no epochs, so here torch's random numbers toss for it.
    For outputs without gradients (validation) it is plain cross-entropy.

    Raises:
        ValueError: alpha, in nats, not positive and finite.
    """
    positive_numbers(alpha=alpha)

    def loss_function(outputs: Tensor, targets: Tensor) -> Tensor:
        losses = F.cross_entropy(outputs, targets, reduction="none")
        mean = losses.mean()
        if mean > alpha or not outputs.requires_grad:
            return mean
        if torch.rand(()) < 0.5:
            return alpha - mean
        log_p = F.log_softmax(outputs, dim=1)
        others = (log_p.sum(1) + losses) / (outputs.shape[1] - 1)  # mean log p of the other classes
        p_y = torch.exp(-losses)
        flattening = p_y * losses - (1 - p_y) * others  # cross-entropy with p_y and equal shares of the rest as target
        return ((outputs.argmax(1) != targets) * flattening - losses).mean()

    return loss_function
