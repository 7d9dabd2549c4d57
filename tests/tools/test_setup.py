"""What is installed is not installed again, on every distribution."""

import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def test_a_second_run_says_and_changes_nothing(tmp_path):
    for name in ("apt-get", "sudo"):
        (tmp_path / name).write_text('#!/bin/sh\necho "called: $0 $*"\n', encoding="ascii")
        (tmp_path / name).chmod(0o755)
    environment = dict(os.environ, PATH=f"{tmp_path}:{os.environ['PATH']}")
    result = subprocess.run([os.path.join(ROOT, "tools", "setup")], env=environment, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
