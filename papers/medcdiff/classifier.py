"""A small classifier of radiographs, trained on clean images and scored on other patients by folds."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

FOLDS = 5
WIDTHS = (16, 32, 64, 64)
BATCH = 16
RATE = 1e-3
SHIFT = 8
"""Pixels by which training images are moved at most."""


def choose_folds(labels: Sequence[int], patients: Sequence[str]) -> NDArray[np.int64]:
    """The fold of each image: all images of a patient in one, both labels spread evenly."""
    folds, taken = {}, {0: 0, 1: 0}
    for label, patient in sorted(zip(labels, patients, strict=True)):
        if patient not in folds:
            folds[patient] = taken[label] % FOLDS
            taken[label] += 1
    return np.array([folds[patient] for patient in patients])


def train_folds(clean: Tensor, labels: Tensor, folds: NDArray[np.int64], epochs: int) -> list[nn.Module]:
    """One network a fold, trained on the clean images [N, 1, H, W] in [-1, 1] of all other folds."""
    networks = []
    for fold in range(FOLDS):
        others = torch.from_numpy(folds != fold)
        networks.append(_train(clean[others], labels[others], epochs, seed=fold))
    return networks


@torch.inference_mode()
def classify(networks: list[nn.Module], images: Tensor, folds: NDArray[np.int64]) -> NDArray[np.float64]:
    """The probability of label 1 for each image, by the network that never saw its patient."""
    scores = np.zeros(len(images))
    for fold, network in enumerate(networks):
        mine = np.flatnonzero(folds == fold)
        if mine.size:
            both = torch.stack([network(x) for x in (images[mine], images[mine].flip(-1))])
            scores[mine] = torch.sigmoid(both.mean(dim=0)).numpy()
    return scores


def accuracy(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Share of images on the right side of one half."""
    return float(((scores > 0.5) == (labels == 1)).mean())


def area_under_curve(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Area under the ROC curve: how often an image of label 1 scores above one of label 0, ties as half.

    NaN where a label is missing. Source: Mann and Whitney 1947.
    """
    ones, zeros = scores[labels == 1], scores[labels == 0]
    above = (ones[:, None] > zeros[None]).astype(float) + 0.5 * (ones[:, None] == zeros[None])
    return float(above.mean()) if above.size else float("nan")


class Classifier(nn.Module):
    """Exposure taken off, strided convolutions, the mean over the image, one logit [B]."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for into, out in zip((1, *WIDTHS[:-1]), WIDTHS, strict=True):
            layers += [nn.Conv2d(into, out, 3, 2, 1), nn.GroupNorm(4, out), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(WIDTHS[-1], 1))

    def forward(self, image: Tensor) -> Tensor:
        """The logit of label 1 for images [B, 1, H, W]."""
        centred = image - image.mean(dim=(2, 3), keepdim=True)
        exposed = centred / image.std(dim=(2, 3), keepdim=True).clamp(min=1e-6)
        logit: Tensor = self.head(self.features(exposed).mean(dim=(2, 3)))[:, 0]
        return logit


def _train(clean: Tensor, labels: Tensor, epochs: int, seed: int) -> nn.Module:
    """AdamW on moved and mirrored images; both labels count the same."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Classifier().train()
        maker = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-2)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(maker, epochs)
        weight = (labels == 0).sum() / (labels == 1).sum().clamp(min=1)
        for _ in range(epochs):
            for chosen in torch.randperm(len(clean), generator=generator).split(BATCH):  # type: ignore[no-untyped-call]
                logits = network(_moved(clean[chosen], generator))
                loss = functional.binary_cross_entropy_with_logits(
                    logits, labels[chosen].float(), pos_weight=weight
                )
                maker.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                maker.step()
            falling.step()
    return network.eval().requires_grad_(False)


def _moved(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image moved a little, half of them mirrored."""
    padded = functional.pad(images, (SHIFT,) * 4, mode="replicate")
    moved = []
    for image in padded:
        down, right = torch.randint(2 * SHIFT + 1, (2,), generator=generator).tolist()
        part = image[:, down : down + images.shape[2], right : right + images.shape[3]]
        moved.append(part.flip(-1) if torch.rand((), generator=generator) < 0.5 else part)
    return torch.stack(moved)
