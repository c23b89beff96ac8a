"""A one-pass U-Net that sees an image only in units of its noise."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from meddenoise.errors import UsageError
from meddenoise.networks.sizes import COARSEST, WIDEST, check_sizes
from meddenoise.networks.trunk import Trunk, compand, pad_to


class NoiseUNet(Trunk):
    """Residual U-Net on pixel-unshuffled input, exactly equivariant to offset and scale.

    The first convolution's kernels sum to zero and its result is divided by the local noise level, so the
    network knows differences in units of sigma and nothing else: f(a y + b, a sigma) = a f(y, sigma) + b for
    every a > 0 and b. No intensity window exists, so bone, contrast and metal far outside the
    training range are denoised like anything else. Steps of many sigma are companded, y = s log(1 + |x|/s),
    before the trunk runs in low precision. The result is y - sigma r with r from the network: it fades to the
    input as sigma goes to 0, and the sum is kept in float32.

    Plain 3x3 convolutions with ReLU and no norms after a pixel-unshuffle: the form that comes nearest to a
    CPU's own convolution speed (FFDNet, arXiv 1710.04026, introduced the unshuffled input; bias-free
    scale equivariance is Mohan et al., arXiv 1906.05478).
    """

    def __init__(
        self,
        channels: Sequence[int] = (64, 96, 128),
        blocks: Sequence[int] = (2, 2, 2),
        unshuffle: int = 4,
        bands: int = 4,
        frames: int = 1,
    ) -> None:
        """`frames`: planes it is given, an odd number; the middle one is denoised.

        Raises UsageError for sizes that make no network.
        """
        check_sizes(1, COARSEST, unshuffle=unshuffle)
        check_sizes(1, WIDEST, bands=bands, frames=frames)
        if frames % 2 == 0:
            raise UsageError(f"frames is {frames}: give an odd number, of which one is in the middle.")
        super().__init__(channels, blocks)
        self.unshuffle = unshuffle
        self.middle = frames // 2
        self.bands = bands
        self.multiple = unshuffle * 2 ** (len(channels) - 1)
        first = channels[0]
        self.head = nn.Conv2d(frames * unshuffle**2, first, 3, bias=False)
        self.floor = nn.Conv2d(1, first, 1, bias=False)
        self.told = nn.Linear(bands + 1, first)
        self.tail = nn.Conv2d(first, unshuffle**2, 3, padding=1)
        self.body: Callable[[Tensor], Tensor] | None = None
        """A replacement for `mix` and the tail, which are between entry and residual sum."""
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, noisy: Tensor, sigma: Tensor, bands: Tensor, zero: Tensor) -> Tensor:
        """Denoised image [B, 1, H, W], float32, in the units of `noisy`.

        noisy: [B, frames, H, W] float32; sigma: [B, 1, H, W] (> 0), local noise level in the same units;
        bands: [B, K], noise amplitude by frequency band relative to white (`NoiseEstimate.bands`), or all
        zero where the spectrum is unknown; zero: [B], 1 where the image's 0 is a physical floor below which
        no value can lie (magnitude MR), else 0.
        """
        height, width = noisy.shape[-2:]
        image, level = (pad_to(x, self.multiple) for x in (noisy, sigma))
        features = self._enter(image, level, bands, zero)
        residual: Tensor = self.tail(self.mix(features)) if self.body is None else self.body(features)
        residual = functional.pixel_shuffle(residual.float(), self.unshuffle)[..., :height, :width]
        return noisy[:, self.middle, None] - sigma * residual

    def lower_trunk(self, dtype: torch.dtype) -> None:
        """Run the trunk in `dtype` (bfloat16); the entry and the residual sum stay float32."""
        self.to(dtype)
        self.head.float()

    def _enter(self, image: Tensor, level: Tensor, bands: Tensor, zero: Tensor) -> Tensor:
        """Features in sigma units [B, C, H/u, W/u]: float32 until every large step has been companded."""
        with torch.autocast(image.device.type, enabled=False):
            kernel = self.head.weight.float()
            kernel = kernel - kernel.mean(dim=(1, 2, 3), keepdim=True)
            blocks = functional.pad(
                functional.pixel_unshuffle(image, self.unshuffle), (1, 1, 1, 1), mode="replicate"
            )
            blocks = blocks.contiguous(memory_format=torch.channels_last)
            coarse = functional.avg_pool2d(level, self.unshuffle)
            steps = compand(functional.conv2d(blocks, kernel) / coarse)
            snr = functional.avg_pool2d(image[:, self.middle, None], self.unshuffle) / (2 * coarse)
            floor = zero[:, None, None, None] / (1 + snr.square())
            known = (bands.sum(dim=1, keepdim=True) > 0).float()
            told = torch.cat([torch.log2(bands.clamp(min=0.05)) * known, known], dim=1)
        dtype = self.tail.weight.dtype
        told = self.told(told.to(dtype))[:, :, None, None]
        features: Tensor = steps.to(dtype) + told + self.floor(floor.to(dtype))
        return features
