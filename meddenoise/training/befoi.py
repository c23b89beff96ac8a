"""Training of BeFOI's student: clean frames from three noisy ones, with a diffusion network as teacher."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from meddenoise.diffusion.schedules import get_schedule
from meddenoise.methods.conditional import Condition, Diffusion
from meddenoise.training.begin import no_smaller, part_of
from meddenoise.training.data import TrainingImage, to_batch
from meddenoise.training.data.frames import FrameSource, tell_frames
from meddenoise.training.data.pairs import RANGE
from meddenoise.training.loop import Share
from meddenoise.training.medcdiff import TRUTH
from meddenoise.training.recipe import Recipe
from meddenoise.training.supervised import SupervisedTask, patch_errors
from meddenoise.weights import load
from meddenoise.weights.checkpoint import Checkpoint, load_network

TAUGHT = 4
"""One of so many sequences is learnt from the diffusion network, whose mean takes as long as a step."""


class StudentTask(SupervisedTask):
    """Regression on clean frames and in part on the diffusion network's mean, a `training.loop.TrainingTask`.

    It begins as the weights that the recipe names: those of BeFOI, a network of volumes, or one of single
    frames, then blind to the neighbours. The noise that the frames have themselves is in what the teacher
    makes of them too, and the loss takes it out of both (`training.supervised.patch_errors`).
    Source: Hu, Huang 2024 (BeFOI), equation 9, with the distillation of `training.medcdiff`.
    """

    def __init__(
        self,
        recipe: Recipe,
        training: list[TrainingImage],
        validation: Sequence[TrainingImage],
        teacher: Checkpoint,
        given: Checkpoint | None = None,
    ) -> None:
        """`given`: weights of the method, whose student is trained on where the recipe begins as no other
        method's."""
        assert recipe.conditional is not None
        start = load(recipe.start) if recipe.start else None
        if given is not None and (start is None or start.metadata.method == recipe.method):
            start = given
        student = None if start is None else part_of(start, "student")
        super().__init__(no_smaller(recipe, student), training, validation, student)
        network = load_network(teacher, teacher.metadata.network, teacher.metadata.network_options)
        schedule = get_schedule(recipe.conditional.schedule)
        self.teacher = Diffusion(network, schedule, recipe.conditional.prediction)
        self.digest = f"{self.digest} taught by {teacher.sha256}"

    def loss(self, network: nn.Module, step: int, share: Share) -> Tensor:
        """Root mean square error in units of the true sigma, mean over this share of the step's sequences."""
        assert isinstance(self.source, FrameSource)
        rng = np.random.default_rng((self.source.seed, step))
        drawn = [self.source.draw(rng) for _ in range(self.recipe.loop.batch)][share.index :: share.count]
        batch = to_batch(drawn)
        wanted = batch.clean.to(share.device)
        mine = slice(None, None, TAUGHT)
        told = torch.from_numpy(np.stack([tell_frames(noisy) for noisy, _ in drawn[mine]]))
        with torch.no_grad():
            self.teacher.network.to(share.device)
            taught = (self.teacher.mean(Condition(told.to(share.device))) + 1) * (RANGE / 2)
        wanted[mine] = TRUTH * wanted[mine] + (1 - TRUTH) * taught
        return patch_errors(network, replace(batch, clean=wanted), share.device).mean()
