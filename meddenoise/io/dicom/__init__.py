"""DICOM: files in and out, one job a file; `format` has what `meddenoise.io.Format` asks for."""
