"""The sandbox: the only place where model-written code runs."""

from .engine import Sandbox
from .layers import Layer, probe

__all__ = ["Layer", "Sandbox", "probe"]
