"""The look of `--help`: commands in panels, and flags without a type."""

from types import ModuleType
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


def _without_types(params: list[Any]) -> list[Any]:
    """The same parameters; a flag takes no value, so none is named."""
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = ""
    return params


class Command(TyperCommand):
    """A command whose help names no type for flags."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Options and arguments, `--help` among them."""
        return _without_types(super().get_params(ctx))


class Group(TyperGroup):
    """A group of commands, likewise."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Options, `--help` among them."""
        return _without_types(super().get_params(ctx))


def register_panel(app: typer.Typer, title: str, modules: tuple[ModuleType, ...]) -> None:
    """Register the commands of some modules, which help shows together under a title."""
    commands, groups = len(app.registered_commands), len(app.registered_groups)
    for module in modules:
        module.register(app)
    for command in app.registered_commands[commands:]:
        command.cls, command.rich_help_panel = Command, title
    for group in app.registered_groups[groups:]:
        group.cls, group.rich_help_panel = Group, title
        for command in group.typer_instance.registered_commands if group.typer_instance else ():
            command.cls = Command
