"""The program as a user calls it, in this process."""

from typer.testing import CliRunner, Result

from meddenoise.cli.main import app


def run(*arguments: object, code: int = 0) -> Result:
    """Result of `meddenoise ARGUMENTS`, which must end with exit code `code`."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result
