"""The way to a destination: DICOM's C-STORE or DICOMweb's STOW-RS, by what its settings say."""

from meddenoise.batch.node.send import Transport
from meddenoise.batch.node.settings import Destination


def open_transport(destination: Destination, own_title: str) -> Transport:
    """The way to a destination."""
    if destination.url:
        from meddenoise.batch.node.stow import Stow

        return Stow(destination)
    from meddenoise.batch.node.cstore import CStore

    return CStore(destination, own_title)
