"""The check of the tree finds what it is for."""

import os
import shutil
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CHECK = os.path.join(ROOT, "tools", "check")


def run(folder):
    result = subprocess.run(["/usr/bin/python3", CHECK, str(folder)], capture_output=True, text=True, timeout=60)
    return result.returncode, result.stdout


def test_the_tree_is_clean():
    status, out = run(ROOT)
    assert status == 0, out


@pytest.mark.parametrize("path, line, expected", [
    ("engine/stream.cc", '#include "pool/core/pool.h"', "engine/ must not include pool/core/pool.h"),
    ("protocol/postgres/replies.cc", '#include "engine/stream.h"', "must not include engine/stream.h"),
    ("pool/core/pool.cc", '#include "pool/session/pin.h"', "must not include pool/session/pin.h"),
    ("pool/core/pool.cc", "#include <liburing.h>", "liburing.h is included by"),
    ("pool/session/pin.cc", "std::function<void()> f;", "allocates"),
    ("engine/stream.cc", "static thread_local int x;", "threads share nothing"),
    ("engine/stream.cc", "void f() { usleep(1); }", "sleeping"),
    ("engine/stream.cc", "// line\n" * 600, "more than 500"),
    ("engine/stream.cc", "void LongFunction(int a) {\n" + "  a = a;\n" * 80 + "}", "a function of"),
    ("pool/metrics/metrics.def", 'COUNTER(NeverCounted, "x")', "NeverCounted is never counted"),
    ("pool/config/options.def", 'OPTION(proxy, never_read, Bool, false, 0, 1, 1, "x")', "never_read is never read"),
])
def test_what_breaks_a_rule(tmp_path, path, line, expected):
    for layer in ("engine", "protocol", "pool"):
        shutil.copytree(os.path.join(ROOT, layer), tmp_path / layer)
    with open(tmp_path / path, "a", encoding="utf-8") as file:
        file.write("\n" + line + "\n")
    status, out = run(tmp_path)
    assert status == 1 and expected in out, out
