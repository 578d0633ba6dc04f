"""The version of this library; the distribution takes its own from here."""

__all__ = ("__version__",)

__version__ = "0.1.0"
