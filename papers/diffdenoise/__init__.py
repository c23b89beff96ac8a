"""DiffDenoise: self-supervised denoising by diffusion."""
