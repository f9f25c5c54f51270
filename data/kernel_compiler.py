"""What GPU kernels need where they run: Triton builds the launcher of each with a C compiler and Python's headers."""

import os
import shutil
import sysconfig
from pathlib import Path

from data.errors import AerieError


def need_kernel_compiler(what: str) -> None:
    """`AerieError` where `what` can't be compiled on this machine, which Triton would say in the middle of it.

    It takes the compiler that the variable CC names, else gcc, else clang, and the headers of the running Python.
    """
    if not os.environ.get("CC") and not shutil.which("gcc") and not shutil.which("clang"):
        raise AerieError(
            f"{what} needs a C compiler: neither gcc nor clang is in PATH and CC names none; install gcc "
            "(Debian: apt install gcc libc6-dev)"
        )
    header = Path(sysconfig.get_path("include", "posix_prefix"), "Python.h")
    if not header.is_file():
        raise AerieError(
            f"{what} needs Python's headers: no {header}; install them "
            f"(Debian: apt install python{sysconfig.get_python_version()}-dev)"
        )
