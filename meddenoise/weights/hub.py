"""Files of the Hugging Face Hub in meddenoise's own cache folder; knows nothing of what is in them."""

import atexit
import hashlib
import re
import tempfile
import warnings
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

from meddenoise.errors import UsageError, WeightsError
from meddenoise.io.temporary import temporary_folder
from meddenoise.version import __version__

SCHEME = "hf://"
_SPEC = re.compile(r"hf://([\w.-]+/[\w.-]+)/([^@\\\x00-\x1f]+)(?:@([\w./-]+))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of one repository ("owner/name") at a branch, a tag or a commit."""

    repo: str
    file: str
    revision: str = "main"

    @classmethod
    def parse(cls, spec: str) -> Self:
        """The file that `hf://OWNER/REPO/FILE[@REV]` names. Raises UsageError for any other form."""
        match = _SPEC.fullmatch(spec)
        named = [text for text in match.groups() if text] if match else [""]
        if any(part in ("", ".", "..") for text in named for part in text.split("/")):
            raise UsageError(
                f"{spec!r} is not a Hub address: write hf://OWNER/REPO/FILE or hf://OWNER/REPO/FILE@REVISION."
            )
        return cls(*named)

    def __str__(self) -> str:
        return f"{SCHEME}{self.repo}/{self.file}" + ("" if self.revision == "main" else f"@{self.revision}")


def cache_folder() -> Path | None:
    """Folder of fetched files, whether it exists yet or not; None if the user has no such place."""
    from platformdirs import user_cache_path

    try:
        return user_cache_path("meddenoise", appauthor=False) / "hub"
    except RuntimeError:  # neither HOME nor a password entry says where home is
        return None


def find_cached(source: HubFile) -> Path | None:
    """The file as last fetched, without touching the network; None where it never was."""
    from huggingface_hub import try_to_load_from_cache

    folder = cache_folder()
    if folder is None:
        return None
    try:
        found = try_to_load_from_cache(source.repo, source.file, cache_dir=folder, revision=source.revision)
    except OSError:  # a cache that cannot be read holds nothing
        return None
    return Path(found) if isinstance(found, str) else None


def fetch(source: HubFile, sha256: str | None) -> Path:
    """The file's path in the cache after a download, or as it lies there where the Hub has no newer one.

    A transfer that breaks off is resumed after the last whole 10 MiB, as long as the Hub can be reached;
    several processes may fetch at once; endpoint, token, timeouts and the offline switch are the
    `huggingface_hub` library's own. A file whose SHA-256 is not `sha256` (unless that is None) is deleted.
    Raises WeightsError saying what stood in the way.
    """
    folder = _writable_cache()
    try:
        path = _download(source, folder)
    except Exception as error:  # the library's HTTP client, and so what it raises, changed between versions
        raise WeightsError(_explain(error, source, folder)) from error
    if sha256 is not None and (found := _hash(path)) != sha256:
        forget(path)
        raise WeightsError(
            f"{source} is not the published file (SHA-256 {found[:12]}..., expected {sha256[:12]}...) and "
            "was deleted: try again, and if it stays so, update meddenoise or write to its authors."
        )
    return path


def forget(path: Path) -> None:
    """Delete a cached file and what its links lead to."""
    while path.is_symlink():
        target = path.parent / path.readlink()
        path.unlink(missing_ok=True)
        path = target
    path.unlink(missing_ok=True)


def _download(source: HubFile, folder: Path) -> Path:
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    # Asked first because hf_hub_download retries for half a minute where there is no network at all.
    url = hf_hub_url(source.repo, source.file, revision=source.revision)
    get_hf_file_metadata(url, library_name="meddenoise", library_version=__version__)
    return Path(
        hf_hub_download(
            source.repo,
            source.file,
            revision=source.revision,
            cache_dir=folder,
            library_name="meddenoise",
            library_version=__version__,
        )
    )


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _writable_cache() -> Path:
    """The cache folder, made if need be; where that cannot be written, one for this process only."""
    folder = cache_folder()
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        why = "there is no home folder"
    except OSError as error:
        why = error.strerror or type(error).__name__
    warnings.warn(
        f"the cache folder {folder or 'in your home'} cannot be used ({why}): "
        "files fetched now are gone after this run",
        stacklevel=3,
    )
    return _session_folder()


@cache
def _session_folder() -> Path:
    until_the_end = ExitStack()
    atexit.register(until_the_end.close)
    return until_the_end.enter_context(temporary_folder())


def _explain(error: Exception, source: HubFile, folder: Path) -> str:
    """One sentence for whatever a download can raise."""
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    login = "log in with `hf auth login` or set HF_TOKEN"
    kinds: list[tuple[type[Exception], str]] = [
        (
            errors.OfflineModeIsEnabled,
            "cannot be fetched while HF_HUB_OFFLINE is set: unset it, or pass a file's path",
        ),
        (errors.GatedRepoError, f"is in a gated repository: accept its terms on the Hub, then {login}"),
        (errors.RepositoryNotFoundError, f"is in no repository you can see: check the name, or {login}"),
        (
            errors.RevisionNotFoundError,
            f"names the revision {source.revision!r}, which the repository does not have: check it",
        ),
        (errors.EntryNotFoundError, "names a file the repository does not have: check the name"),
    ]
    for kind, sentence in kinds:
        if isinstance(error, kind):
            return f"{source} {sentence}."
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        return f"{source} cannot be fetched, {_explain_status(status, login)}."
    return f"{source} cannot be fetched, {_explain_transport(error, folder)}."


def _explain_status(status: int, login: str) -> str:
    known = {
        401: f"the Hub asks who you are (401): {login}",
        403: f"the Hub refuses access (403): ask its owner, or {login} with a token that may read it",
        404: "the Hub does not know it (404): check the address",
        429: "the Hub asks for fewer requests (429): wait a few minutes and try again",
    }
    return known.get(status, f"the Hub answered with HTTP status {status}: try again later")


def _explain_transport(error: Exception, folder: Path) -> str:
    if "Timeout" in type(error).__name__ or isinstance(error, TimeoutError):
        return "the Hub did not answer in time: try again, or raise HF_HUB_DOWNLOAD_TIMEOUT (seconds)"
    if "Connect" in type(error).__name__ or isinstance(error, ConnectionError):
        return "there is no connection to the Hub: check the network, or pass the path of a file you have"
    if isinstance(error, OSError) and error.errno is not None:
        return f"{folder} cannot be written ({error.strerror}): check its permissions and the free space"
    first_line = str(error).strip().partition("\n")[0] or type(error).__name__
    return f"the transfer broke off ({first_line}): try again"
