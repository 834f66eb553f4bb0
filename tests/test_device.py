from __future__ import annotations

import platform
import resource
import subprocess
import sys

import pytest
import torch

from arco.device import choose_device, make_deterministic
from arco.errors import ArcoError


@pytest.mark.parametrize(
    ("wanted", "available", "expected"),
    [("auto", True, "cuda"), ("auto", False, "cpu"), ("cuda", True, "cuda"), ("cpu", True, "cpu")],
)
def test_auto_takes_a_gpu_where_there_is_one(monkeypatch, wanted, available, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert choose_device(wanted).type == expected


def test_a_gpu_that_is_not_there_is_not_replaced_silently(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ArcoError, match=r"runtime\.device is cuda .*auto"):
        choose_device("cuda")


def test_determinism_is_switched_on_without_loading_the_compiler():
    code = (
        "import sys, torch; from arco.device import make_deterministic; "
        "make_deterministic(torch.device('cpu'), 1); "
        "on = torch.are_deterministic_algorithms_enabled() and torch.get_num_threads() == 1; "
        "sys.exit('torch._inductor.config' in sys.modules or not on)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone is told")
def test_freed_memory_is_used_again():
    code = """
import resource, torch
from arco.device import reuse_memory
reuse_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    answer = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE)
    pages = 20 * 2**24 * 4 // resource.getpagesize()
    assert int(answer.stdout) < pages / 2  # the first few make the heap grow


def test_a_gpu_warns_where_a_kernel_is_not_deterministic():
    before = torch.get_deterministic_debug_mode(), torch.get_num_threads()
    try:
        make_deterministic(torch.device("cuda"), 1)
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.set_deterministic_debug_mode(before[0])
        torch.set_num_threads(before[1])
