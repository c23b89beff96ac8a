"""The DICOM format: what `meddenoise.io.Format` asks for, from the modules beside it."""

from meddenoise.io.dicom.group import group, scan
from meddenoise.io.dicom.header import sniff
from meddenoise.io.dicom.read import read
from meddenoise.io.dicom.write import write

SUFFIX = ".dcm"

__all__ = ["SUFFIX", "group", "read", "scan", "sniff", "write"]
