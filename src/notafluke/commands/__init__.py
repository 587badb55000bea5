"""The commands of `notafluke`, by subject; `notafluke.cli` puts them together."""
