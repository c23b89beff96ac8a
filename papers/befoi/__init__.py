"""BeFOI: denoising of fluoroscopy runs."""
