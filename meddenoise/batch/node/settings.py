"""The settings of a node: one TOML file, checked before anything is opened."""

import tomllib
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from meddenoise.batch.node.rules import Rule, parse_rule
from meddenoise.batch.node.tables import check_keys, check_range, check_value
from meddenoise.errors import UsageError

_Table = TypeVar("_Table")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Settings of receiving images: the table [node]."""

    allow: tuple[str, ...]
    """AE titles that may send; all others are refused."""
    spool: str
    """Folder for what is received and not yet delivered."""
    ae_title: str = "MEDDENOISE"
    host: str = "127.0.0.1"
    """Address of this machine to listen at."""
    port: int = 11112
    broken_s: float = 900.0
    """Time a series waits for its sender to try again after a broken transfer."""
    timeout_s: float = 60.0
    """Time that a sender may be silent, or an image take beyond its time on a slow line."""
    max_pdu: int = 131072
    """Bytes."""
    max_object_mib: int = 512
    max_associations: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Destination of results: a table [[send]], by C-STORE (host, port, ae_title) or DICOMweb (url)."""

    name: str
    host: str = ""
    port: int = 104
    ae_title: str = ""
    url: str = ""
    """Root of the DICOMweb service: instances are posted to `<url>/studies`."""
    token_file: str = ""
    """File with a bearer token for DICOMweb, read for every request."""
    retry_s: float = 300.0
    """Longest pause between two tries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything in the file; `node` and `send` are None and empty where a folder is watched."""

    node: Node | None = None
    send: tuple[Destination, ...] = ()
    rules: tuple[Rule, ...] = ()
    quiet_s: float = 30.0
    """A series counts as complete when nothing of it arrived for so long."""
    health_port: int = 0
    """Port on loopback that answers GET /health; 0 for none."""
    send_rejected: bool = False
    """True to send on results with the verdict `reject` too."""


def read_settings(path: Path) -> Settings:
    """The settings in a file; paths in it are relative to its folder. Raises UsageError, WeightsError."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror or error}): give a TOML file.") from error
    except ValueError as error:
        raise UsageError(f"{path} is not TOML ({error}): correct it.") from error
    folder = path.resolve().parent
    tables = {"node", "send", "rule"}
    plain = {key: value for key, value in document.items() if key not in tables}
    known = [item.name for item in fields(Settings) if item.name not in ("node", "send", "rules")]
    check_keys(plain, [*known, *tables], str(path))
    node = None
    if "node" in document:
        node = _parse(Node, _as_table(document["node"], f"[node] of {path}"), f"[node] of {path}")
        node = _checked_node(node, path, folder)
    send = tuple(
        _checked_destination(_parse(Destination, {"name": f"send{place}", **table}, where), where, folder)
        for place, (table, where) in enumerate(_tables(document, "send", path), 1)
    )
    if len({destination.name for destination in send}) < len(send):
        raise UsageError(f"{path} has two [[send]] of the same name: give each its own.")
    rules = tuple(parse_rule(table, where, folder) for table, where in _tables(document, "rule", path))
    settings = _parse(Settings, plain, str(path))
    check_range(f"quiet_s of {path}", settings.quiet_s, 0, 86400)
    check_range(f"health_port of {path}", settings.health_port, 0, 65535)
    return replace(settings, node=node, send=send, rules=rules)


def _parse(kind: type[_Table], table: dict[str, Any], where: str) -> _Table:
    """A table as a dataclass. Raises UsageError for unknown, missing or misfit keys."""
    known = {item.name: item for item in fields(kind)}  # type: ignore[arg-type]
    check_keys(table, known, where)
    for key, value in table.items():
        if known[key].type != tuple[str, ...]:
            check_value(key, value, known[key].type, where)
        elif isinstance(value, list) and all(isinstance(one, str) for one in value):
            table[key] = tuple(value)
        else:
            raise UsageError(f'{key} of {where} is {value!r}: give a list such as ["CT1", "CT2"].')
    missing = [name for name, item in known.items() if item.default is MISSING and name not in table]
    if missing:
        raise UsageError(f"{where} does not state {missing[0]}: add it.")
    return kind(**table)


def _checked_node(node: Node, path: Path, folder: Path) -> Node:
    where = f"[node] of {path}"
    if not node.allow:
        raise UsageError(f"allow of {where} is empty: name the AE titles that may send.")
    for title in (node.ae_title, *node.allow):
        _check_title(title, where)
    check_range(f"port of {where}", node.port, 1, 65535)
    check_range(f"broken_s of {where}", node.broken_s, 0, 7 * 86400)
    check_range(f"timeout_s of {where}", node.timeout_s, 1, 3600)
    check_range(f"max_pdu of {where}", node.max_pdu, 4096, 16 << 20)
    check_range(f"max_object_mib of {where}", node.max_object_mib, 1, 2048)
    check_range(f"max_associations of {where}", node.max_associations, 1, 100)
    return replace(node, spool=str(folder / node.spool))


def _checked_destination(one: Destination, where: str, folder: Path) -> Destination:
    if bool(one.host) == bool(one.url):
        raise UsageError(
            f"{where} needs host and ae_title for C-STORE, or url for DICOMweb: give one of them."
        )
    if one.url:
        _check_url(one.url, where)
    if one.host:
        _check_title(one.ae_title, where)
    if not one.name.isidentifier():
        raise UsageError(f"name of {where} is {one.name!r}: give letters and digits, it names a folder.")
    check_range(f"port of {where}", one.port, 1, 65535)
    check_range(f"retry_s of {where}", one.retry_s, 1, 86400)
    return replace(one, token_file=str(folder / one.token_file) if one.token_file else "")


def _check_url(url: str, where: str) -> None:
    """Raises UsageError for what is no address of a service; its text may hold a password and is not told."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:
        known = False
    if not (known and url.isascii() and url.isprintable() and " " not in url):
        raise UsageError(f"url of {where} is not an address: give http://HOST:PORT/PATH or https://...")
    if parts.username is not None or parts.query or parts.fragment:
        raise UsageError(
            f"url of {where} has more than host, port and path: leave out names, passwords and what follows "
            "a ? or #; token_file holds a bearer token."
        )


def _check_title(title: str, where: str) -> None:
    """Raises UsageError for what is no AE title (PS3.5 6.2): 1 to 16 printable characters, no backslash."""
    if not (len(title.strip()) > 0 and len(title) <= 16 and title.isascii() and title.isprintable()):
        raise UsageError(f"the AE title {title!r} of {where} is not valid: give 1 to 16 letters or digits.")
    if "\\" in title:
        raise UsageError(f"the AE title {title!r} of {where} is not valid: leave out the backslash.")


def _tables(document: dict[str, Any], key: str, path: Path) -> Sequence[tuple[dict[str, Any], str]]:
    tables = document.get(key, [])
    if not isinstance(tables, list):
        raise UsageError(f"{key} of {path} is one table: write it as [[{key}]], there may be several.")
    named = [(table, f"[[{key}]] number {place} of {path}") for place, table in enumerate(tables, 1)]
    return [(_as_table(table, where), where) for table, where in named]


def _as_table(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{where} is {value!r}: write it as a table.")
    return value
