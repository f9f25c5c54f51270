"""What GPU kernels need to be compiled is looked for before they are, and its absence is told."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from data import kernel_compiler
from data.errors import AerieError
from data.kernel_compiler import need_kernel_compiler

MODULE = """
#include <Python.h>
static PyModuleDef probe = {PyModuleDef_HEAD_INIT, "aerie_probe", 0, -1, 0};
PyMODINIT_FUNC PyInit_aerie_probe(void) { return PyModule_Create(&probe); }
"""


@pytest.fixture
def headers(tmp_path, monkeypatch):
    """Python's headers as if they were there, in a folder of the test."""
    (tmp_path / "Python.h").touch()
    monkeypatch.setattr(kernel_compiler.sysconfig, "get_path", lambda *_: str(tmp_path))
    return tmp_path / "Python.h"


@pytest.fixture
def no_compiler(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)


def put(name, folder):
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


def test_no_compiler_is_named_with_what_to_install(headers, no_compiler):
    with pytest.raises(AerieError, match=r"the gate needs a C compiler: neither gcc nor clang.*apt install"):
        need_kernel_compiler("the gate")


@pytest.mark.parametrize("name", ["gcc", "clang"])
def test_either_compiler_is_enough(name, headers, no_compiler, tmp_path):
    put(name, tmp_path)
    need_kernel_compiler("x")


def test_cc_names_one_as_well(headers, no_compiler, monkeypatch):
    monkeypatch.setenv("CC", "/opt/cc")
    need_kernel_compiler("x")


def test_missing_headers_are_named(headers, no_compiler, tmp_path):
    put("gcc", tmp_path)
    headers.unlink()
    with pytest.raises(AerieError, match=rf"no {headers}; install.*python3[.][0-9]+-dev"):
        need_kernel_compiler("x")


@pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc here")
@pytest.mark.skipif(not Path(sysconfig.get_path("include"), "Python.h").is_file(), reason="no Python.h here")
def test_triton_builds_a_module_where_nothing_is_missed(tmp_path):
    pytest.importorskip("triton")
    need_kernel_compiler("x")
    build = f"compile_module_from_src({MODULE!r}, 'aerie_probe')"
    script = f"from triton.runtime.build import compile_module_from_src\nprint({build}.__name__)"
    environment = os.environ | {"TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("aerie_probe", 0), done.stderr[-2000:]
