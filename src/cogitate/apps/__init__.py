"""The programs people run: the `cogitate` command."""
