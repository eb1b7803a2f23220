"""One module per subcommand, or per family of them."""
