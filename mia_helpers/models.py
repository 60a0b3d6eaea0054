"""The networks of the course.

All return logits, never probabilities: a softmax inside the model and another one inside the loss would be the
double-softmax mistake shown in notebook 02.
"""

from torch import Tensor, nn


class ClassifierModel(nn.Module):
    """The classic CNN of the tutorial attack: images `[N, 1, 28, 28]` to logits `[N, 10]`. 1.65 million parameters.

    Four 3 × 3 convolutions without padding (1 → 16 → 32 → 16 → 16 channels), then 6400 → 256 → 10.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3),
            nn.LeakyReLU(),
            nn.Conv2d(16, 32, 3),
            nn.LeakyReLU(),
            nn.Conv2d(32, 16, 3),
            nn.LeakyReLU(),
            nn.Conv2d(16, 16, 3),
            nn.LeakyReLU(),
        )
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(6400, 256), nn.LeakyReLU(), nn.Linear(256, 10))

    def forward(self, images: Tensor) -> Tensor:
        """The images' logits."""
        return self.classifier(self.features(images))


class SmallClassifier(nn.Module):
    """A LeNet-size CNN with pooling: images `[N, 1, 28, 28]` to logits `[N, 10]`, for experiments with many models.

    Args:
        width: multiplies the number of channels and hidden units (1: 37,610 parameters).
        dropout: probability of dropping a hidden unit while training.
    """

    def __init__(self, width: float = 1.0, dropout: float = 0.0):
        super().__init__()
        c1, c2, hidden = (max(1, round(n * width)) for n in (8, 16, 128))
        self.features = nn.Sequential(
            nn.Conv2d(1, c1, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(c1, c2, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(16 * c2, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, 10),
        )

    def forward(self, images: Tensor) -> Tensor:
        """The images' logits."""
        return self.classifier(self.features(images))


class AttackNet(nn.Module):
    """The attack network: a model's outputs `[N, n_inputs]` to one logit each `[N]`, positive for "member".

    Four layers, 10 → 500 → 500 → 500 → 1, with LeakyReLU between them.
    """

    def __init__(self, n_inputs: int = 10):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_inputs, 500),
            nn.LeakyReLU(),
            nn.Linear(500, 500),
            nn.LeakyReLU(),
            nn.Linear(500, 500),
            nn.LeakyReLU(),
            nn.Linear(500, 1),
        )

    def forward(self, outputs: Tensor) -> Tensor:
        """The log-odds of "member"."""
        return self.layers(outputs).squeeze(-1)
