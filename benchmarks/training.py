"""How fast is the course's training loop?

`python benchmarks/training.py [ROUNDS]` prints images per second of

(a) the naive loop: a Dataset that turns each array into a PIL image and back, a DataLoader, default layout, plain Adam,
    torch's default number of threads;
(b) `mia_helpers.training.train_classifier` with one thread, in one process and in two processes side by side;

their ratios, and what share of this machine's one-thread matrix-product speed (b) reaches; then, for the classic network and
the small one of the shadows,

(c) how much of a loop's CPU time is work that cannot be left out: one step's operators (batch, forward, loss, backward,
    fused AdamW), traced once, then called one after another on each batch, with no layers, autograd or optimiser around,
    against `train_classifier` from start to end and the naive loop; all with one thread.

All train on the same digits and take turns; medians are reported. Images per CPU-second, and shares, hold on a busy machine
too. What it costs to call an operator at all counts as work in (c): some 80 calls a step, half of which compute nothing.
"""

import os
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from mia_helpers.data import ImageSet, load_digits
from mia_helpers.models import ClassifierModel, SmallClassifier
from mia_helpers.training import flushed_denormals, keep_freed_memory, train_classifier

N_IMAGES, EPOCHS = 2_000, 2
SETTINGS = {"lr": 1e-4, "seed": 0, "batch_size": 64, "device": "cpu", "progress": False}
_barrier = None


class PilDigits(Dataset):
    """As torchvision's MNIST does it: every image becomes a PIL image, then a tensor, each time it is asked for."""

    def __init__(self, data: ImageSet):
        self.pixels = (data.images[:, 0] * 255).round().to(torch.uint8).numpy()
        self.labels = data.labels.tolist()
        self.transform = transforms.Compose([transforms.ToPILImage(), transforms.ToTensor()])

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.transform(self.pixels[index]), self.labels[index]


def naive(data: ImageSet, epochs: int, network: type[nn.Module] = ClassifierModel) -> tuple[float, float]:
    """(images per second, images per CPU-second) of the loop that most tutorials show."""
    torch.manual_seed(0)
    model, loss_function = network(), nn.CrossEntropyLoss()
    optimiser = torch.optim.Adam(model.parameters(), lr=SETTINGS["lr"])
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(epochs):
        for images, labels in DataLoader(PilDigits(data), batch_size=SETTINGS["batch_size"], shuffle=True):
            optimiser.zero_grad()
            loss_function(model(images), labels).backward()
            optimiser.step()
    return epochs * len(data) / (time.perf_counter() - wall), epochs * len(data) / (time.process_time() - cpu)


def digits() -> ImageSet:
    return load_digits("target", source="bundled").split(N_IMAGES, N_IMAGES, seed=0)[0]


def matmul_speed(size: int = 2048) -> float:
    """FLOP per CPU-second of one square float32 matrix product."""
    a, b = torch.rand(size, size), torch.rand(size, size)
    start = time.process_time()
    torch.mm(a, b)
    return 2 * size**3 / (time.process_time() - start)


def join(barrier) -> None:  # a worker starts: one thread, everything warm
    globals()["_barrier"] = barrier
    torch.set_num_threads(1)
    train_classifier(ClassifierModel(), digits().subset(range(256)), epochs=1, **SETTINGS)
    matmul_speed()


def ours(n_processes: int) -> tuple[float, float, float]:
    """(images per second, images per CPU-second, FLOP per CPU-second of a matrix product) in this worker."""
    data = digits()
    if n_processes > 1:
        _barrier.wait()  # both start together
    before = matmul_speed()
    wall, cpu = time.perf_counter(), time.process_time()
    train_classifier(ClassifierModel(), data, epochs=EPOCHS, **SETTINGS)
    wall, cpu, n = time.perf_counter() - wall, time.process_time() - cpu, EPOCHS * len(data)
    return n / wall, n / cpu, (before + matmul_speed()) / 2


def bare(data: ImageSet, n_steps: int, network: type[nn.Module]) -> float:
    """Images per CPU-second of a training step's operators alone."""
    keep_freed_memory()
    images, size = data.images.contiguous(memory_format=torch.channels_last), SETTINGS["batch_size"]
    model = network().to(memory_format=torch.channels_last).train()
    names, weights = zip(*((name, p.detach()) for name, p in model.named_parameters()))
    averages, squares = ([torch.zeros_like(w) for w in weights] for _ in range(2))
    counts = [torch.zeros(()) for _ in weights]

    def step(batch: torch.Tensor) -> None:
        moving = [w.detach().requires_grad_() for w in weights]
        loss = F.cross_entropy(functional_call(model, dict(zip(names, moving)), images[batch]), data.labels[batch])
        gradients = torch.autograd.grad(loss, moving)
        torch._foreach_add_(counts, 1)
        settings = {"lr": SETTINGS["lr"], "beta1": 0.9, "beta2": 0.999, "weight_decay": 0.0, "eps": 1e-8}
        torch._fused_adamw_(weights, gradients, averages, squares, [], counts, amsgrad=False, maximize=False, **settings)

    with flushed_denormals(), torch.no_grad():
        with torch.enable_grad():
            operators = make_fx(step)(torch.arange(size))
        for i in range(n_steps + 5):
            if i == 5:  # warm
                start = time.process_time()
            operators(torch.randperm(len(images))[:size])
        assert counts[0] == n_steps + 6
        return n_steps * size / (time.process_time() - start)


def shares(network: type[nn.Module], epochs: int) -> tuple[float, float]:
    """What share of the CPU time of (our loop, the naive loop) the step's operators take; in this worker, one thread."""
    data = digits()
    n_steps = epochs * len(data) // SETTINGS["batch_size"]
    before = bare(data, n_steps, network)
    start = time.process_time()
    train_classifier(network(), data, epochs=epochs, **SETTINGS)
    loop = epochs * len(data) / (time.process_time() - start)
    operators = (before + bare(data, n_steps, network)) / 2
    return loop / operators, naive(data, EPOCHS, network)[1] / operators


def flops_per_image(model: nn.Module) -> float:
    """Forward and backward: each layer multiplies three times (output, two gradients), the first one twice."""
    layers: list[float] = []

    def count(layer: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        layers.append(2 * layer.weight.numel() * output[0].numel() / len(layer.weight))

    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    model(torch.zeros(1, 1, 28, 28))
    return 3 * sum(layers) - layers[0]


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    data, flops = digits(), flops_per_image(ClassifierModel())
    print(f"torch {torch.__version__}, {os.cpu_count()} cores, {flops / 1e6:.1f} MFLOP an image; images/s in each round:")
    naive(data.subset(range(256)), 1)
    results, context = [], get_context("spawn")  # [round][contestant] -> images/s, images/CPU-s, share
    of_loops: dict[type[nn.Module], list] = {ClassifierModel: [], SmallClassifier: []}  # [round] -> shares
    with ProcessPoolExecutor(2, context, join, (context.Barrier(2),)) as pool:
        list(pool.map(ours, [2, 2]))  # both workers are up before anything is measured
        for _ in range(rounds):
            row = [[*naive(data, EPOCHS), 0.0]]
            for found in ([pool.submit(ours, 1).result()], list(pool.map(ours, [2, 2]))):
                wall, cpu, peak = zip(*found)
                row.append([sum(wall), statistics.mean(cpu), statistics.mean(cpu) * flops / statistics.mean(peak)])
            results.append(row)
            for network, rows in of_loops.items():
                rows.append(pool.submit(shares, network, EPOCHS if network is ClassifierModel else 4 * EPOCHS).result())
            print("  ", "  ".join(f"{rate:5.0f}" for rate, _, _ in row), flush=True)
    medians = [[statistics.median(values) for values in zip(*rows)] for rows in zip(*results)]
    names = (f"(a) naive, {torch.get_num_threads()} threads", "(b) ours, one process", "(b) ours, two processes")
    for name, (rate, per_cpu, share) in zip(names, medians):
        print(
            f"{name:24}{rate:6.0f} images/s ({rate / medians[0][0]:.2f} × a), {per_cpu:6.0f} images/CPU-s "
            f"({per_cpu / medians[0][1]:.2f} × a)" + (f", {share:.0%} of the matrix-product speed" if share else "")
        )
    for network, rows in of_loops.items():
        own, other = (statistics.median(column) for column in zip(*rows))
        print(
            f"(c) {network.__name__:16} the operators alone take {own:.0%} of our loop's CPU time "
            f"(rounds: {', '.join(f'{share:.0%}' for share, _ in rows)}), {other:.0%} of the naive loop's"
        )


if __name__ == "__main__":
    main()
