"""tools/dev, and that the sanitizers and clang-tidy find what they are for, with our options."""

import copy
import os
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))
import run_dev  # noqa: E402
import run_tests  # noqa: E402
import sanitizers  # noqa: E402
import tidy  # noqa: E402


def dev(*args):
    return subprocess.run(["/usr/bin/python3", os.path.join(ROOT, "tools", "run_dev.py"), *args],
                          capture_output=True, text=True, timeout=60)


def test_help_lists_every_command():
    result = dev("--help")
    assert result.returncode == 0
    for name in ("asan", "tsan", "tidy", "format", "sim", "sim-mutants", "regress", "differential", "fuzz"):
        assert f"\n{name}" in result.stdout


def test_an_unknown_command_is_told():
    result = dev("nonsense")
    assert result.returncode == 2 and "there is no command nonsense" in result.stderr


def test_a_command_gets_its_words(monkeypatch):
    seen = []
    monkeypatch.setattr(run_dev, "COMMANDS", [run_dev.Command("one", "", "", lambda args: seen.append(args) or 7)])
    monkeypatch.setattr(sys, "argv", ["tools/dev", "one", "--seed", "3"])
    assert run_dev.main() == 7 and seen == [["--seed", "3"]]


BROKEN = [
    ("asan", "heap-buffer-overflow", "#include <cstdlib>\nint main(int argc, char**) {\n  char* volatile p = new char[4];\n"
     "  volatile char c = p[3 + argc];\n  delete[] p;\n  return c == 1;\n}"),
    ("asan", "heap-use-after-free", "int main(int argc, char**) {\n  int* p = new int(argc);\n  delete p;\n  return *p == 9;\n}"),
    ("asan", "LeakSanitizer", "int* volatile lost;\nint main() {\n  lost = new int(1);\n  lost = nullptr;\n}"),
    ("asan", "signed integer overflow", "int main(int argc, char**) {\n  int i = 2147483647;\n  i += argc;\n  return i == 3;\n}"),
    ("tsan", "data race", "#include <thread>\nint shared;\nint main() {\n  std::thread other([] { ++shared; });\n  ++shared;\n"
     "  other.join();\n}"),
]


@pytest.mark.parametrize("name, expected, source", BROKEN)
def test_a_sanitizer_ends_the_program_and_reports(tmp_path, name, expected, source):
    sanitizer = copy.copy(sanitizers.ALL[name])
    sanitizer.reports = str(tmp_path / "reports")
    os.mkdir(sanitizer.reports)
    (tmp_path / "broken.cc").write_text(source + "\n", encoding="ascii")
    program = str(tmp_path / "broken")
    subprocess.run(["g++", "-std=c++20", "-O1", "-g1", f"-fsanitize={sanitizer.sanitize}", *sanitizer.flags.split(), "-w",
                    str(tmp_path / "broken.cc"), "-o", program, "-pthread"], check=True, timeout=60)
    result = subprocess.run([*sanitizer.around(), program], env=dict(os.environ, **sanitizer.environment()),
                            capture_output=True, text=True, timeout=60)
    told = "\n".join(sanitizer.findings())
    if "overflow" in expected and "heap" not in expected:
        told += result.stderr   # UndefinedBehaviorSanitizer, beside ASan, knows no other place; it ends the program
    assert result.returncode != 0 and expected in told, (result.returncode, told, result.stderr)


def test_a_report_is_a_failure_although_all_tests_pass(tmp_path, monkeypatch):
    class Reporting(sanitizers.Sanitizer):
        def build(self, run, targets):
            (tmp_path / "asan.1").write_text("==1==ERROR: something")
    sanitizer = Reporting("x", sanitize="", flags="", environment={}, programs=(), tests=("test_a",))
    sanitizer.reports = str(tmp_path)
    monkeypatch.setattr(run_tests, "unit_tests", lambda **_: (3, 0))
    monkeypatch.setattr(run_tests, "pytest", lambda *_, **__: (2, 0))
    assert run_tests.sanitized(sanitizer) == (5, 1)


def test_a_selected_test_that_is_gone_is_a_failure(tmp_path):
    (tmp_path / "test_x.py").write_text("def test_here():\n    pass\n\n\ndef test_there():\n    pass\n")
    assert run_tests.pytest(str(tmp_path), names=("test_here",)) == (1, 0)
    assert run_tests.pytest(str(tmp_path), names=("test_here", "test_gone")) == (1, 1)


@pytest.mark.parametrize("expected, source", [
    ("bugprone-use-after-move", "int F(std::string s) {\n  const std::string t = std::move(s);\n  return s.size() == t.size();\n}"),
    ("google-explicit-constructor", "struct Implicit {\n  Implicit(int a);\n};"),
    ("bugprone-implicit-widening-of-multiplication-result", "long F(int a, int b) { return a * b; }"),
    ("performance-for-range-copy", "void F(const std::vector<std::string>& all) {\n  for (const auto each : all) F({each});\n}"),
    ("readability-identifier-naming", "enum class Kind { kGood, BAD };"),
])
def test_clang_tidy_finds_what_it_is_for(tmp_path, expected, source):
    path = tmp_path / "broken.cc"
    path.write_text(f"#include <string>\n#include <utility>\n#include <vector>\n{source}\n", encoding="ascii")
    result = subprocess.run(["clang-tidy", "--quiet", f"--config-file={ROOT}/.clang-tidy", str(path), "--", "-std=c++20"],
                            capture_output=True, text=True, timeout=60)
    assert result.returncode != 0 and f"[{expected}" in result.stdout, result.stdout


def test_format_is_told_and_mended(tmp_path, capsys):
    path = tmp_path / "x.cc"
    path.write_text("int  F( ){return 1;}\n", encoding="ascii")
    (tmp_path / ".clang-format").write_text("BasedOnStyle: Google\n", encoding="ascii")
    assert tidy.format_all([str(path)], mend=False) == 1 and "not formatted" in capsys.readouterr().out
    assert tidy.format_all([str(path)], mend=True) == 1
    assert path.read_text(encoding="ascii") == "int F() { return 1; }\n"
    assert tidy.format_all([str(path)], mend=False) == 0
