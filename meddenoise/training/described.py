"""Description, in every checkpoint, of the recipe it was trained by."""

from typing import Any

from meddenoise.training.recipe import Recipe
from meddenoise.weights.checkpoint import CheckpointMetadata


def describe_checkpoint(
    recipe: Recipe, step: int, scores: dict[str, float], digits: int = 3, **own: Any
) -> CheckpointMetadata:
    """The metadata after `step` steps; `own` are the fields that differ from what the recipe says."""
    shared: dict[str, Any] = {
        "method": recipe.method,
        "network": recipe.network,
        "network_options": recipe.network_options,
        "sigma_range": (recipe.noise.sigma_min, recipe.noise.sigma_max),
        "modalities": recipe.modalities,
        "training_data": tuple(dict.fromkeys(row.attribution for row in recipe.data if row.attribution)),
        "licence": recipe.licence,
        "recipe": recipe.name,
    }
    measured = {"steps": step, "validation": {name: round(value, digits) for name, value in scores.items()}}
    options = {**own.pop("method_options", {}), **measured}
    return CheckpointMetadata(**(shared | own), method_options=options)
