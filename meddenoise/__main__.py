"""`python -m meddenoise`."""

from meddenoise.cli.main import run

if __name__ == "__main__":
    run()
