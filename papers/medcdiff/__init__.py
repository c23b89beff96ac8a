"""Med-cDiff: denoising, super-resolution and inpainting by conditional diffusion."""
