"""`python -m cogitate` is the `cogitate` command."""

from cogitate.apps.cli import program

if __name__ == "__main__":
    program()
