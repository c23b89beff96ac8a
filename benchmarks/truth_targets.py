"""The targets of the truth benchmark and what each learned method reaches of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from benchmarks.peers import GIVEN_MODEL, GIVEN_PEERS
from meddenoise.methods import METHODS

Row = dict[str, Any]
Target = tuple[str, str, dict[str, str]]

KINDS = {"ct": 1.0, "mr": 1.0, "xray": 1.0, "fluoro": 1.5}
"""dB that a phantom kind wants above the better of NLM and BM3D given the model."""
WHITE_DB, CORRELATED_DB, VOLUME_DB, REPEATS_DB, CINES_DB = 0.4, 0.7, 0.7, 1.0, 1.0
SHARE = 0.9
HARM_DB = -0.05
BEHIND_DB = -0.3
STRONGEST = ("nlm", GIVEN_MODEL)
REFERENCE = "direct"


@dataclass(frozen=True)
class Rows:
    """Rows of the benchmark, some of them picked."""

    rows: Sequence[Row]

    def of(self, group: str, fits: Callable[[Row], bool] = lambda row: True) -> "Rows":
        """Those of a group."""
        return Rows([row for row in self.rows if row["group"] == group and "method" in row and fits(row)])

    def gain(self, method: str) -> float | None:
        """Mean gain of a method, dB."""
        gains = [row["gain_db"] for row in self.rows if row["method"] == method]
        known = [gain for gain in gains if gain is not None]
        return fmean(known) if known else None

    def margin(self, method: str, peers: Sequence[str]) -> float | None:
        """Mean gain above the best of the peers; None where one of them, or the method, was not run."""
        own, theirs = self.gain(method), [self.gain(peer) for peer in peers]
        known = [gain for gain in theirs if gain is not None]
        return own - max(known) if own is not None and len(known) == len(peers) else None


def targets_of(rows: Sequence[Row]) -> list[Target]:
    """Each target that the rows decide: text, what is wanted, and what each learned method reached."""
    names = dict.fromkeys(row["method"] for row in rows if "method" in row)
    learned = [name for name in names if name not in GIVEN_PEERS and not _is_filter(name)]
    everything = Rows([row for row in rows if "method" in row])
    made = [
        _target(text, least, {name: value for name in learned if (value := measure(name)) is not None})
        for text, least, measure in _measures(everything)
    ]
    return [target for target in made if target[2]]


Measure = Callable[[str], float | None]


def _measures(rows: Rows) -> list[tuple[str, float, Measure]]:
    pairs, cines = rows.of("repeats"), rows.of("cines")
    found: list[tuple[str, float, Measure]] = [
        ("repeats: above NLM, mean", REPEATS_DB, lambda name: pairs.margin(name, ("nlm",))),
        ("repeats: above NLM, worst pair", 0.0, _least(pairs, "image", ("nlm",))),
        ("cines: above NLM and BM3D+model, worst run", CINES_DB, _least(cines, "image", STRONGEST)),
        (
            "cines: the same, worst frame 0",
            CINES_DB,
            _least(rows.of("cines", lambda row: row["part"] == "frame 0"), "image", STRONGEST),
        ),
    ]
    for kind, least in KINDS.items():
        mine = rows.of("phantoms", _begins(kind))
        found.append((f"phantoms, {kind}: above NLM and BM3D+model", least, _over(mine, STRONGEST)))
    for group in ("natural", "medical"):
        for modality in dict.fromkeys(row["modality"] for row in rows.of(group).rows):
            here = rows.of(group, _has("modality", modality))
            white = here.of(group, lambda row: "white" in row["row"])
            coloured = here.of(group, lambda row: "white" not in row["row"])
            whose = "photographs" if group == "natural" else modality
            found.append((f"white, {whose}: above BM3D", WHITE_DB, _over(white, ("bm3d",))))
            found.append(
                (f"correlated, {whose}: above BM3D+model", CORRELATED_DB, _over(coloured, (GIVEN_MODEL,)))
            )
    found += [
        (f"volumes, {modality}: above one slice", VOLUME_DB, _with_neighbours(rows, modality))
        for modality in ("CT", "MR")
    ]
    found.append(("contrast of discs of CNR 1 kept, median, %", 100 * SHARE, _kept(rows)))
    found.append(("harm: worst image, dB", HARM_DB, _worst(rows.of("harm"))))
    found.append(("everywhere: worst image, dB", HARM_DB, _worst(rows)))
    found.append((f"above {REFERENCE}, mean of groups both ran in", BEHIND_DB, _beside_reference(rows)))
    return found


def _is_filter(name: str) -> bool:
    """True for methods without weights; any other name is that of a checkpoint."""
    row = METHODS.get(name.split()[0])
    return row is not None and not row.learned


def _target(text: str, least: float, values: dict[str, float]) -> Target:
    percent = text.endswith("%")
    reached = {
        name: (f"{value:.0f}" if percent else f"{value:+.2f}") + ("" if value >= least else " *")
        for name, value in values.items()
    }
    return text, f"{least:.0f}" if percent else f"{least:+.2f}", reached


def _over(rows: Rows, peers: Sequence[str]) -> Measure:
    return lambda name: rows.margin(name, peers)


def _least(rows: Rows, key: str, peers: Sequence[str]) -> Measure:
    """The smallest margin over the values of a key."""
    parts = [
        Rows([row for row in rows.rows if row[key] == value])
        for value in dict.fromkeys(row[key] for row in rows.rows)
    ]

    def measure(name: str) -> float | None:
        margins = [part.margin(name, peers) for part in parts]
        known = [margin for margin in margins if margin is not None]
        return min(known) if known else None

    return measure


def _begins(kind: str) -> Callable[[Row], bool]:
    return lambda row: bool(row["row"].startswith(kind))


def _has(key: str, value: str) -> Callable[[Row], bool]:
    return lambda row: bool(row[key] == value)


def _among(known: set[tuple[str, str, str]]) -> Callable[[Row], bool]:
    return lambda row: (row["row"], row["image"], row["part"]) in known


def _with_neighbours(rows: Rows, modality: str) -> Measure:
    def measure(name: str) -> float | None:
        both = [
            rows.of("volumes", _has("row", f"{modality} {way}")).gain(name)
            for way in ("as a volume", "slice by slice")
        ]
        return None if both[0] is None or both[1] is None else both[0] - both[1]

    return measure


def _kept(rows: Rows) -> Measure:
    """The median over all inserted discs; those of the ACR phantom are of all contrasts."""
    discs = rows.of("contrast", lambda row: not row["row"].startswith("ACR"))

    def measure(name: str) -> float | None:
        shares = [row["share"] for row in discs.rows if row["method"] == name]
        return 100 * median(shares) if shares else None

    return measure


def _worst(rows: Rows) -> Measure:
    def measure(name: str) -> float | None:
        gains = [row["gain_db"] for row in rows.rows if row["method"] == name and row["gain_db"] is not None]
        return min(gains) if gains else None

    return measure


def _beside_reference(rows: Rows) -> Measure:
    """Mean over groups of what a method gains above the reference on the rows that both have."""

    def measure(name: str) -> float | None:
        if name == REFERENCE or name.split()[0] not in ("diffdenoise", "befoi"):
            return None
        margins = []
        for group in dict.fromkeys(row["group"] for row in rows.rows):
            mine = {(r["row"], r["image"], r["part"]) for r in rows.of(group).rows if r["method"] == name}
            both = rows.of(group, _among(mine))
            margins.append(both.margin(name, (REFERENCE,)))
        known = [margin for margin in margins if margin is not None]
        return fmean(known) if known else None

    return measure
