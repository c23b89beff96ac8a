"""Completions of an option after Tab. Tables are read when the key is pressed, never for help."""

from collections.abc import Callable, Mapping

from meddenoise.errors import MeddenoiseError

Proposals = list[str] | list[tuple[str, str]]
Completer = Callable[[str], Proposals]


def offer(*values: str) -> Completer:
    """A completer of fixed values."""

    def propose(incomplete: str) -> Proposals:
        return [value for value in values if value.startswith(incomplete)]

    return propose


def _from(table: Callable[[], Mapping[str, str]], *more: str) -> Completer:
    """A completer of the names of a table and `more`, with what each is; of nothing where it is damaged."""

    def propose(incomplete: str) -> Proposals:
        try:
            named = dict.fromkeys(more, "") | dict(table())
        except MeddenoiseError:
            return []
        return [(name, what) for name, what in named.items() if name.startswith(incomplete)]

    return propose


def _methods() -> Mapping[str, str]:
    from meddenoise.methods import rows

    return {name: row.purpose for name, row in rows().items()}


def _checkpoints() -> Mapping[str, str]:
    from meddenoise.weights.manifest import published

    return {name: f"{row.method}, {' '.join(row.modality)}" for name, row in published().items()}


def _modalities() -> Mapping[str, str]:
    from meddenoise.io.modality import CODES

    return CODES


def _phantoms() -> Mapping[str, str]:
    from meddenoise.phantom import PHANTOMS

    return {name: kind.title for name, kind in PHANTOMS.items()}


def _recipes() -> Mapping[str, str]:
    from meddenoise.training.recipe_file import shipped_recipes

    return dict.fromkeys(shipped_recipes(), "")


method = _from(_methods)
method_or_auto = _from(_methods, "auto")
checkpoint = _from(_checkpoints)
modality = _from(_modalities)
phantom = _from(_phantoms)
recipe = _from(_recipes)
device = offer("auto", "cpu", "cuda", "mps")
precision = offer("auto", "fp32", "bf16")
mode = offer("distilled", "diffusion")
quality = offer("fast", "standard", "best")
window = offer("auto", "soft-tissue", "lung", "bone", "brain")
format = offer("same", "dicom", "nifti", "nrrd", "mha", "png", "tiff")
format_of_phantom = offer("dicom", "nifti", "nrrd", "mha", "png", "tiff")
