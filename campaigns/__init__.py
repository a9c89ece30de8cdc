"""Carillon: announcement mail that adds up. A folder here is a feature, a file is plumbing; see CONTRIBUTING.md."""

__version__ = "0.1.0"
