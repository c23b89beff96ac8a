"""The VP-SDE denoiser and its samplers."""
