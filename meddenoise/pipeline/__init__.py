"""One series denoised, upscaled or inpainted, by the task of its options."""
