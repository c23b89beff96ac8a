"""The DICOM format: what `meddenoise.io.Format` asks for, from the modules beside it."""

from meddenoise.io.dicom_group import group, scan
from meddenoise.io.dicom_header import sniff
from meddenoise.io.dicom_read import read
from meddenoise.io.dicom_write import write

SUFFIX = ".dcm"

__all__ = ["SUFFIX", "group", "read", "scan", "sniff", "write"]
