"""What a stage may ask for on a Hopper GPU alone, and what it hears elsewhere."""

import importlib

import torch

from data.errors import AerieError

HOPPER = (9, 0)


def need_hopper(setting: str, otherwise: str) -> None:
    """`AerieError` unless this process's GPU is an H100 or H200; `otherwise` says how to do without."""
    if not torch.cuda.is_available() or torch.cuda.get_device_capability() != HOPPER:
        found = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
        raise AerieError(f"{setting} needs a Hopper GPU (H100, H200), found: {found}; {otherwise}")


def need_package(setting: str, module: str, install: str, otherwise: str) -> None:
    """`AerieError` unless `module` can be imported; `install` says how to get it."""
    try:
        importlib.import_module(module)
    except (ImportError, OSError) as error:  # OSError: a library that the package loads is missing
        raise AerieError(f"{setting} needs {install} ({error}); install it or {otherwise}") from error
