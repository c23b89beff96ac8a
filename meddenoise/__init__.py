"""Denoise CT, MR, X-ray and fluoroscopy studies, in the same format, with the evidence."""

__version__ = "0.1.0"
