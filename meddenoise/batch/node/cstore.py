"""Sending by C-STORE: the bytes of the files as they are."""

from collections.abc import Callable
from pathlib import Path

from pydicom import dcmread
from pynetdicom import AE, _config

from meddenoise.batch.node.receive import quieten
from meddenoise.batch.node.send import RefusedError, UnreachableError
from meddenoise.batch.node.settings import Destination

TIMEOUT_S = 30.0
_MOST_CONTEXTS = 128
_TAKEN = {0x0000, 0xB000, 0xB006, 0xB007}
"""Success, and warnings with which the image is kept all the same (PS3.4 B.2.3)."""
_FULL = range(0xA700, 0xA800)


class CStore:
    """The way to a destination by C-STORE."""

    def __init__(self, destination: Destination, own_title: str) -> None:
        quieten()
        # the file is sent in parts, neither decoded nor held in memory
        _config.STORE_SEND_CHUNKED_DATASET = True
        self._to = destination
        self._own_title = own_title

    def send(self, files: list[Path], sent: Callable[[Path], None]) -> None:
        """Send files over one association. Raises UnreachableError and RefusedError."""
        ae = AE(self._own_title)
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ae.connection_timeout = TIMEOUT_S
        for kind, syntax in sorted({_kind(file) for file in files})[:_MOST_CONTEXTS]:
            ae.add_requested_context(kind, syntax)
        where = f"{self._to.host}:{self._to.port}"
        association = ae.associate(self._to.host, self._to.port, ae_title=self._to.ae_title)
        if not association.is_established:
            how = "refuses the association" if association.is_rejected else "does not answer"
            if association.is_aborted and not association.is_rejected:
                how = "cannot be reached, or accepts none of these images"
            raise UnreachableError(f"{self._to.ae_title} at {where} {how}")
        try:
            for file in files:
                try:
                    status = association.send_c_store(file)
                except ValueError as error:  # no presentation context
                    raise RefusedError(
                        "it does not accept this kind of image or its transfer syntax"
                    ) from error
                except RuntimeError as error:  # the association is gone
                    raise UnreachableError(f"{where} closed the association") from error
                code = status.get("Status")
                if code is None or code in _FULL:
                    told = "does not answer any more" if code is None else "has no room"
                    raise UnreachableError(f"{self._to.ae_title} at {where} {told}")
                if code not in _TAKEN:
                    raise RefusedError(f"it answers with status 0x{code:04X}")
                sent(file)
        finally:
            if association.is_established:
                association.release()


def _kind(file: Path) -> tuple[str, str]:
    """SOP class and transfer syntax of a file."""
    meta = dcmread(file, stop_before_pixels=True, specific_tags=[]).file_meta
    return str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID)
