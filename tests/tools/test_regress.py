"""tools/dev regress: what it selects, compares and counts."""

import os
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))
import dev_regress  # noqa: E402
import regress_suite  # noqa: E402
import run_tests  # noqa: E402

SCHEDULE = """# required setup steps
test: test_setup

# multirangetypes depends on rangetypes
# multirangetypes shouldn't run concurrently with type_sanity
test: boolean char rangetypes
test: multirangetypes point
# Note: many of the tests in later groups depend on create_index
test: create_index create_view
ignore: random
# geometry depends on point, rangetypes
# psql depends on geometry
test: geometry psql random
"""


def test_the_groups_of_a_schedule():
    assert regress_suite.groups_of(SCHEDULE)[1] == ["boolean", "char", "rangetypes"]
    assert len(regress_suite.groups_of(SCHEDULE)) == 5


def test_a_part_of_a_schedule_has_what_its_tests_depend_on():
    assert regress_suite.part_of(SCHEDULE, ["boolean"]) == "test: test_setup\ntest: boolean\n"
    assert regress_suite.part_of(SCHEDULE, ["multirangetypes"]) == "test: test_setup\ntest: rangetypes\ntest: multirangetypes\n"
    assert regress_suite.part_of(SCHEDULE, ["psql"]) == ("test: test_setup\ntest: rangetypes\ntest: point\ntest: create_index\n"
                                                         "test: geometry psql\n")
    with pytest.raises(ValueError, match="no test nonsense"):
        regress_suite.part_of(SCHEDULE, ["boolean", "nonsense"])


def test_the_archives_of_an_installed_package_become_sources():
    policy = """postgresql-15:
  Installed: 15.1
  Version table:
 *** 15.1 500
        500 http://deb.example.org/debian bookworm/main amd64 Packages
        100 /var/lib/dpkg/status
"""
    places = regress_suite.places_of(policy)
    assert places == {"http://deb.example.org/debian"}
    lines = ("# deb http://deb.example.org/debian sid main\ndeb [signed-by=/k.gpg] http://deb.example.org/debian/ bookworm main\n"
             "deb http://other.example.org/ x main\ndeb-src http://deb.example.org/debian bookworm main\n")
    assert regress_suite.source_lines(lines, places) == "deb-src [signed-by=/k.gpg] http://deb.example.org/debian/ bookworm main"
    stanzas = ("# a comment\nTypes: deb\nURIs: http://deb.example.org/debian\nSuites: bookworm\nComponents: main\nSigned-By: /k.gpg\n\n"
               "Types: deb\nURIs: http://other.example.org\nSuites: x\n\n"
               "Types: deb\nEnabled: no\nURIs: http://deb.example.org/debian\nSuites: sid\n")
    assert regress_suite.source_stanzas(stanzas, places) == ("Types: deb-src\nURIs: http://deb.example.org/debian\nSuites: bookworm\n"
                                                             "Components: main\nSigned-By: /k.gpg\n")


def test_outputs_are_compared_test_by_test(tmp_path):
    direct, through = tmp_path / "direct", tmp_path / "weir"
    for folder in (direct, through):
        folder.mkdir()
        (folder / "same.out").write_text("a\nb\n")
    (direct / "other.out").write_text("a\nb\nc\n")
    (through / "other.out").write_text("a\nx\nc\n")
    (direct / "blank.out").write_text("a\n")
    (through / "blank.out").write_text("a")
    (direct / "bytes.out").write_bytes(b"\xff\n")
    (through / "bytes.out").write_bytes(b"\xfe\n")
    (direct / "gone.out").write_text("a\n")
    found = dev_regress.compare(["same", "other", "blank", "bytes", "gone", "never"], str(direct), str(through))
    assert found["same"] == []
    assert found["other"] == ["@@ -2 +2 @@", "-b", "+x"]
    assert found["blank"] and found["bytes"]
    assert found["gone"] == ["no output through weir"]
    assert found["never"] == ["no output directly or through weir"]


def test_only_accepted_differences_are_forgiven(capsys):
    text = ("# Title\n\ntext\n\n| test | run | lines | reason |\n| --- | --- | --- | --- |\n| stats | all | 10 | counts |\n"
            "| sequence | rotate | 2 | a | b |\n")
    accepted = dev_regress.accepted_differences(text, rotate=False)
    assert accepted == {"stats": (10, "counts")}
    assert dev_regress.accepted_differences(text, rotate=True) == {"stats": (10, "counts"), "sequence": (2, "a | b")}
    lines = ["@@ -1 +1 @@", *(f"+{i}" for i in range(10))]
    assert dev_regress.report({"a": [], "stats": lines}, accepted) == 0
    assert "1 same, 1 differ (1 of them accepted)" in capsys.readouterr().out
    assert dev_regress.report({"a": lines, "stats": lines}, accepted) == 1
    said = capsys.readouterr().out
    assert "    +4\n    ... 5 more lines" in said and "+5" not in said
    assert dev_regress.report({"stats": [*lines, "+11"]}, accepted) == 1
    assert "stats  differs in 11 lines, accepted are 10" in capsys.readouterr().out


def test_the_list_of_accepted_differences_can_be_read():
    text = dev_regress.read(dev_regress.ACCEPTED)
    assert all(each.lines > 0 and each.reason for each in dev_regress.accepted_differences(text, rotate=True).values())


def test_outputs_that_the_suite_does_not_expect_are_known(tmp_path):
    results, expected = tmp_path / "results", tmp_path / "expected"
    for folder in (results, expected):
        folder.mkdir()
    (expected / "a.out").write_text("1\n")
    (expected / "a_1.out").write_text("2\n")
    (results / "a.out").write_text("2 \n")
    assert dev_regress.unexpected(["a"], str(results), str(expected)) == []
    (expected / "b.out").write_text("1\n")
    (results / "b.out").write_text("connection refused\n")
    assert dev_regress.unexpected(["a", "b", "c"], str(results), str(expected)) == ["b", "c"]


PIN = ("x [WARN] [clientConnection=1] The client session was pinned to the database connection [dbConnection=2] until the client "
       "disconnects. The proxy can't reuse this connection until then. Reason: {}. More.")
STATISTICS = "x [INFO] event=statistics shard={} clients=0 borrowed_again={} borrowed_other={} ticks=1"


def test_pins_and_borrows_are_counted_from_the_log(capsys):
    log = [PIN.format("one"), PIN.format("two"), PIN.format("one") + " (3 such lines left out)",
           STATISTICS.format(0, 5, 5), STATISTICS.format("all", 10, 9), STATISTICS.format("all", 10, 8)]
    assert dev_regress.pins(log) == ({"one": 2, "two": 1}, 3)
    assert dev_regress.total(log, "borrowed_again") == 20
    assert dev_regress.report_log(log, rotate=False)
    assert not dev_regress.report_log(log, rotate=True)
    assert "20 borrows by clients that had a backend before, 17 of them (85.0 %) got another one" in capsys.readouterr().out
    assert dev_regress.report_log([*log, STATISTICS.format("all", 100, 99)], rotate=True)
    assert not dev_regress.report_log([], rotate=True)


def test_a_stuck_suite_is_stopped(tmp_path, monkeypatch, capsys):
    program = tmp_path / "pg_regress"
    program.write_text("#!/bin/sh\nexec cat never\n")
    program.chmod(0o755)
    (tmp_path / "run").mkdir()
    os.mkfifo(tmp_path / "run" / "never")
    monkeypatch.setattr(dev_regress.servers.Postgres, "as_postgres", staticmethod(lambda *command: list(command)))

    class Suite:
        binaries = "/nowhere"
    Suite.program = str(program)
    dev_regress.Run(Suite, str(tmp_path), "", dev_regress.parse(["--minutes", "0"])).pg_regress(1)
    assert "had not ended" in capsys.readouterr().out


def test_where_the_suite_cannot_be_had_its_tests_are_skipped(monkeypatch, capsys):
    def unavailable(*_):
        raise regress_suite.Unavailable("there is no network")
    monkeypatch.setattr(regress_suite, "get", unavailable)
    monkeypatch.setattr(run_tests, "SKIPPED", [])
    assert run_tests.regress() == (0, 0)
    assert run_tests.SKIPPED == list(dev_regress.FAST)
    assert "regression suite is skipped: there is no network" in capsys.readouterr().out


def test_an_archive_without_sources_is_told(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(regress_suite, "private_apt", lambda *_: ["false"])
    monkeypatch.setattr(regress_suite, "output", lambda *_: "        500 http://deb.example.org/debian bookworm/main amd64 Packages\n")
    with pytest.raises(regress_suite.Unavailable, match="no source package of postgresql-15 .*http://deb.example.org/debian"):
        regress_suite.fetch(str(tmp_path), "postgresql-15", "15.1")


def test_a_part_counts_its_tests(monkeypatch, capsys):
    class Suite:
        schedule = "test: test_setup\ntest: guc portals\n"
    monkeypatch.setattr(regress_suite, "get", lambda *_: Suite)
    monkeypatch.setattr(dev_regress, "FAST", ("guc", "portals", "of_another_version"))
    log = [STATISTICS.format("all", 100, 99)]
    for found, strange, counts in (({"guc": [], "portals": []}, [], (2, 0)), ({"guc": [], "portals": ["+x"]}, [], (1, 1)),
                                   ({"guc": [], "portals": []}, ["guc"], (2, 1))):
        monkeypatch.setattr(dev_regress, "run_both", lambda *_, result=(found, strange, log): result)
        assert dev_regress.fast() == (*counts, ["of_another_version"])
    monkeypatch.setattr(dev_regress, "run_both", lambda *_: ({"guc": []}, [], []))
    assert dev_regress.fast()[:2] == (1, 1)   # no borrow was seen to change its backend


def test_help_names_the_options():
    result = subprocess.run(["/usr/bin/python3", os.path.join(ROOT, "tools", "dev_regress.py"), "--help"], capture_output=True,
                            text=True, timeout=60)
    assert result.returncode == 0 and "--rotate" in result.stdout
