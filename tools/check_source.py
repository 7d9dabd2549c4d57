"""C++ text as tools/check reads it: without comments and literals, cut into functions and switches.

Not a parser: it relies on clang-format's layout, and on a compiler that has accepted the text.
"""

import functools
import re

_LITERALS = re.compile(
    r'R"(?P<mark>[^(\s]*)\(.*?\)(?P=mark)"'      # raw string
    r'|"(?:\\.|[^"\\\n])*"'                        # string
    r"|(?<!\w)'(?:\\.|[^'\\\n])+'"                 # character, not a digit separator
    r"|//[^\n]*|/\*.*?\*/", re.S)


@functools.lru_cache(maxsize=None)
def strip(text):
    """The text with comments gone and literals empty; every line stays where it was."""
    def blank(found):
        token = found.group(0)
        lines = "\n" * token.count("\n")
        if token.startswith(("//", "/*")):
            return lines
        return ("''" if token.startswith("'") else '""') + lines
    return _LITERALS.sub(blank, text)


@functools.lru_cache(maxsize=None)
def lines_with(code, pattern):
    """(number, line) of the lines in which the pattern is found."""
    if not re.search(pattern, code, re.M):
        return []
    return [(number, line) for number, line in enumerate(code.split("\n"), 1) if re.search(pattern, line)]


def matching(text, at, pair):
    """Where the bracket that opens at `at` is closed; the end of the text if nowhere."""
    depth = 0
    for found in re.compile(f"[{re.escape(pair)}]").finditer(text, at):
        depth += 1 if found.group(0) == pair[0] else -1
        if depth == 0:
            return found.start()
    return len(text)


def line_of(text, at):
    return text.count("\n", 0, at) + 1


_BODY = re.compile(r"(\)|\})( const| override| final| noexcept| &&?| -> [\w:<>,*& ]+)* \{$")
_CONTROL = re.compile(r"\s*(\} )?(if|else|for|while|switch|do|catch)\b")


def functions(code):
    """Every outermost function of stripped text: (first line, last line, what stands before its body)."""
    lines = code.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    number = 0
    while number < len(lines):
        line = lines[number]
        if not _BODY.search(line):
            number += 1
            continue
        first = number
        # A signature, or the initializers of a constructor, may have begun on an earlier line.
        while first > 0 and not re.search(r"[;{}]\s*$|^\s*(public|private|protected):|^#|^\s*$", lines[first - 1]):
            first -= 1
        head = "\n".join(lines[first:number + 1])
        if _CONTROL.match(head) or "(" not in head or re.match(r"\s*(class|struct|namespace|enum)\b", head):
            number += 1
            continue
        last = line_of(code, matching(code, starts[number] + len(line) - 1, "{}"))
        yield first + 1, last, head
        number = last


def switches(code):
    """Every switch of stripped text: (line, labels of its own)."""
    for found in re.finditer(r"\bswitch \(", code):
        begin = code.find("{", matching(code, found.end() - 1, "()"))
        body = code[begin + 1:matching(code, begin, "{}")]
        # What stands in a nested block are not this switch's labels.
        while True:
            inner = body.find("{")
            if inner < 0:
                break
            body = body[:inner] + body[matching(body, inner, "{}") + 1:]
        labels = re.findall(r"\bcase ([^;]+?)(?<!:):(?!:)", body) + (["default"] if re.search(r"\bdefault:", body) else [])
        yield line_of(code, found.start()), labels


_TABLES = re.compile(r"\b(?:TextMap|TextViewMap|flat_hash_map|flat_hash_set|node_hash_map|node_hash_set|unordered_\w+)<")


def hash_tables(code):
    """Names of the variables and members whose type is a hash table, or a pointer to one."""
    names = set()
    for found in _TABLES.finditer(code):
        end = matching(code, found.end() - 1, "<>")
        name = re.match(r">*[\s*&]*(\w+)\s*[;={(,)]", code[end:end + 120])
        if name:
            names.add(name.group(1))
    return names


@functools.lru_cache(maxsize=None)
def iterated(code):
    """[(line, name)] of everything that a loop goes over, or whose begin() is asked for."""
    found = []
    for loop in re.finditer(r"\bfor \([^;()]*? : ([^;{}]*?)\)(?=[\s{])", code):
        name = re.search(r"(\w+)(?:\(\))?$", loop.group(1))
        if name:
            found.append((line_of(code, loop.start()), name.group(1)))
    for call in re.finditer(r"(\w+)(?:\.|->)c?r?begin\(\)", code):
        found.append((line_of(code, call.start()), call.group(1)))
    return found
