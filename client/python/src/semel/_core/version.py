"""The version of this package, as it is installed."""

from importlib import metadata

VERSION = metadata.version("semel-client")
