"""PostgreSQL's own regression suite, of the installed server's version: fetched as the distribution's source package, built, kept.

Everything stays in a folder of ours: apt gets a source list, lists and a cache of its own, and the system's are only read.
"""

import glob
import os
import re
import shutil
import subprocess
import tempfile

MAKEFILE = """MODULES = {modules}
PG_CPPFLAGS = -DREFINT_VERBOSE
PG_CONFIG = {pg_config}
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)
"""


class Unavailable(Exception):
    """The suite cannot be had on this machine: its text says why."""


class Suite:
    """A ready copy of src/test/regress: sql/, expected/, data/, parallel_schedule and the loadable helpers."""

    def __init__(self, folder, binaries):
        self.folder = folder
        self.binaries = binaries
        with open(os.path.join(folder, "parallel_schedule"), encoding="utf-8") as file:
            self.schedule = file.read()

    @property
    def program(self):
        """pg_regress."""
        pgxs = output(os.path.join(self.binaries, "pg_config"), "--pgxs").strip()
        return os.path.join(os.path.dirname(os.path.dirname(pgxs)), "test", "regress", "pg_regress")


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def as_root(*command):
    return [*([] if os.geteuid() == 0 else ["sudo"]), *command]


def installed_version(package):
    found = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", package], capture_output=True, text=True)
    status, _, version = found.stdout.partition(" ")
    return version if status == "installed" else None


def install(packages):
    """`packages`: name -> the version it should have if there is a choice, or None. What is missing is installed."""
    for name, version in packages.items():
        if installed_version(name) is not None:
            continue
        print(f"installing: {name}", flush=True)
        quiet = as_root("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq", "--no-install-recommends")
        subprocess.run(as_root("apt-get", "update", "-qq"), check=False)
        exact = version and subprocess.run([*quiet, f"{name}={version}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if not exact or exact.returncode != 0:
            result = subprocess.run([*quiet, name], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            if result.returncode != 0:
                raise Unavailable(f"the package {name} cannot be installed: {result.stderr.strip()}")


def places_of(policy):
    """The archives that apt-cache policy names."""
    return set(re.findall(r"^\s+-?\d+ (\S+) \S+ \S+ Packages$", policy, re.MULTILINE))


def source_lines(text, places):
    """The deb-src lines for the deb lines of a .list file that lead to one of `places`."""
    lines = []
    for line in text.splitlines():
        found = re.match(r"\s*deb\s+((?:\[[^]]*\]\s+)?)(\S+)(\s.*)", line)
        if found and found.group(2).rstrip("/") in places:
            lines.append(f"deb-src {found.group(1)}{found.group(2)}{found.group(3)}")
    return "\n".join(lines)


def source_stanzas(text, places):
    """The same for a .sources file."""
    stanzas = []
    for stanza in re.split(r"\n\s*\n", re.sub(r"^#.*\n?", "", text, flags=re.MULTILINE)):
        fields = dict(re.findall(r"^([\w-]+):[ \t]*(.*)$", stanza, re.MULTILINE))
        uris = {uri.rstrip("/") for uri in fields.get("URIs", "").split()}
        if "deb" in fields.get("Types", "").split() and fields.get("Enabled", "yes") != "no" and uris & places:
            stanzas.append(re.sub(r"^Types:.*$", "Types: deb-src", stanza.strip(), flags=re.MULTILINE))
    return "\n\n".join(stanzas) + ("\n" if stanzas else "")


def private_apt(folder, package):
    """The words that make apt-get work in `folder`, with the archives that the package comes from as sources."""
    places = {each.rstrip("/") for each in places_of(output("apt-cache", "policy", package))}
    for name in ("parts", "lists/partial", "cache/archives/partial"):
        os.makedirs(os.path.join(folder, name), exist_ok=True)
    for path in ["/etc/apt/sources.list", *glob.glob("/etc/apt/sources.list.d/*")]:
        if os.path.isfile(path) and path.endswith((".list", ".sources")):
            with open(path, encoding="utf-8") as file:
                text = (source_lines if path.endswith(".list") else source_stanzas)(file.read(), places)
            with open(os.path.join(folder, "parts", os.path.basename(path)), "w", encoding="utf-8") as file:
                file.write(text + "\n")
    options = {"Dir::Etc::SourceList": "/dev/null", "Dir::Etc::SourceParts": os.path.join(folder, "parts"),
               "Dir::State::Lists": os.path.join(folder, "lists"), "Dir::Cache": os.path.join(folder, "cache"),
               "APT::Sandbox::User": "root"}
    return ["apt-get", "-qq", *[word for name, value in options.items() for word in ("-o", f"{name}={value}")]]


def fetch(folder, package, version):
    """Unpacks the source package and returns where."""
    apt = private_apt(os.path.join(folder, "apt"), package)
    subprocess.run([*apt, "update"], check=False)
    for wanted in (f"{package}={version}", package):   # an archive may hold only a newer version
        result = subprocess.run([*apt, "source", "--download-only", wanted], cwd=folder, capture_output=True, text=True)
        if result.returncode == 0:
            break
        print(f"apt-get source {wanted}: {result.stderr.strip()}", flush=True)
    described = glob.glob(os.path.join(folder, "*.dsc"))
    if not described:
        with_sources = ", ".join(sorted(places_of(output("apt-cache", "policy", package)))) or "no archive"
        raise Unavailable(f"apt has no source package of {package} (looked for in: {with_sources})")
    subprocess.run(["dpkg-source", "--no-check", "-x", described[0], "source"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return os.path.join(folder, "source")


def build(source, binaries, suite):
    """Copies what the suite needs into the folder `suite` and builds its loadable helpers there."""
    regress = os.path.join(source, "src", "test", "regress")
    os.mkdir(suite)
    for name in ("sql", "expected", "data"):
        shutil.copytree(os.path.join(regress, name), os.path.join(suite, name))
    for name in ("parallel_schedule", "resultmap"):
        shutil.copy(os.path.join(regress, name), suite)
    helpers = [os.path.join(regress, "regress.c")]
    helpers += [os.path.join(source, "contrib", "spi", name) for name in ("refint.c", "autoinc.c")]
    with tempfile.TemporaryDirectory() as place:
        for path in helpers:
            shutil.copy(path, place)
        modules = " ".join(os.path.basename(path)[:-2] for path in helpers)
        with open(os.path.join(place, "Makefile"), "w", encoding="ascii") as file:
            file.write(MAKEFILE.format(modules=modules, pg_config=os.path.join(binaries, "pg_config")))
        result = subprocess.run(["make", "-C", place, "with_llvm=no"], capture_output=True, text=True)
        if result.returncode != 0:
            raise Unavailable(f"the suite's helpers could not be built\n{result.stdout}{result.stderr}")
        for path in glob.glob(os.path.join(place, "*.so")):
            shutil.copy(path, suite)


def get(cache, binaries):
    """The suite of the server whose programs are in `binaries`; made in `cache` if it is not there."""
    major = binaries.split("/")[4]
    package = f"postgresql-{major}"
    version = installed_version(package)
    if version is None:
        raise Unavailable(f"{binaries} is not of the package {package}")
    install({f"postgresql-server-dev-{major}": version, "dpkg-dev": None, "make": None})
    suite = os.path.join(cache, version)
    if not os.path.exists(suite):
        print(f"fetching and building the regression suite of {package} {version} ...", flush=True)
        os.makedirs(cache, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix="making-") as folder:
            build(fetch(folder, package, version), binaries, os.path.join(folder, "suite"))
            os.rename(os.path.join(folder, "suite"), suite)
    return Suite(suite, binaries)


def groups_of(schedule):
    """The groups of tests that run side by side, in order."""
    return [line[len("test:"):].split() for line in schedule.splitlines() if line.startswith("test:")]


def dependencies(schedule):
    """test -> those it needs, as the schedule's comments say ("join depends on create_misc")."""
    needs = {}
    for test, names in re.findall(r"^#\s*(\w+) depends on ((?:[\w.]+,\s*)*[\w.]+)", schedule, re.MULTILINE):
        needs.setdefault(test, set()).update(re.findall(r"[\w.]+", names))
    return needs


def part_of(schedule, wanted):
    """A schedule of the wanted tests, what they depend on, and what nearly all need: test_setup and create_index."""
    groups = groups_of(schedule)
    order = {test: index for index, group in enumerate(groups) for test in group}
    unknown = [test for test in wanted if test not in order]
    if unknown:
        raise ValueError(f"the schedule has no test {', '.join(unknown)}")
    needs = dependencies(schedule)
    chosen, left = set(), [*wanted, "test_setup"]
    while left:
        test = left.pop()
        if test not in order or test in chosen:
            continue
        chosen.add(test)
        left += needs.get(test, ())
        if order[test] > order.get("create_index", len(groups)):
            left.append("create_index")
    lines = ["test: " + " ".join(test for test in group if test in chosen) for group in groups if chosen & set(group)]
    return "\n".join(lines) + "\n"
