"""The sandbox: the only place where model-written code runs."""

from .docker import DockerSandbox
from .engine import Sandbox
from .layers import Layer, probe, works

__all__ = ["DockerSandbox", "Layer", "Sandbox", "probe", "works"]
