"""Writes copies of kernels/*.cu and *.cuh in which every place worth breaking can be broken when the program runs.

    seed.py SOURCE_FOLDER OUTPUT_FOLDER

OUTPUT_FOLDER/kernels/ receives the files, OUTPUT_FOLDER/points.json what can be broken: number, file, line, kind and
the line with the change marked, as in `if (i {< -> <=} count) {`. Kinds:

    barrier     a barrier is left out
    wait        a wait for asynchronous copies is left out
    bound       < becomes <=, <= becomes <, and likewise > and >=
    index       x[i] becomes x[i + 1]
    arithmetic  + becomes -, and the reverse

The formatter puts spaces around a binary operator and none around a template's brackets, so tokens are enough: no
parser. Left alone is what the compiler evaluates: template arguments, constexpr, static_assert, extents of arrays.
"""
import json
import pathlib
import re
import sys

TOKEN = re.compile(
    r"""(?P<skip>//[^\n]*|/\*.*?\*/|^[ \t]*\#(?:[^\n]*\\\n)*[^\n]*)
      | (?P<text>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])+')
      | (?P<word>[A-Za-z_]\w*|\.?\d(?:[\w.]|[eEpP][+-])*)
      | (?P<sign><<=|>>=|->|::|<<|(?<=\s)>>|<=|>=|==|!=|&&|\|\||\+\+|--|[-+*/%&|^]=|\S)""",
    re.VERBOSE | re.MULTILINE | re.DOTALL)
OPENING = {"(": ")", "[": "]", "{": "}"}
# Binary operators that bind less tightly than a comparison, and whatever else ends its operands.
ENDS_COMPARISON = {"&&", "||", "?", ":", ",", ";", "=", "==", "!=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=",
                   "<<=", ">>=", "return", "&", "|", "^"}
ENDS_SUM = ENDS_COMPARISON | {"<", ">", "<=", ">=", "+", "-", "<<", ">>"}
COMPARISONS = {"<": ("less", "<="), "<=": ("less_equal", "<"), ">": ("greater", ">="), ">=": ("greater_equal", ">")}
BARRIERS = {"__syncthreads", "__syncwarp"}
WAITS = {"cp_async_wait", "cp_async_commit"}
CONSTANT_CALLS = {"static_assert", "__launch_bounds__", "FER_SHARED", "FER_DYNAMIC_SHARED", "sizeof", "alignas",
                  "decltype", "constexpr"}
PER_FILE = 1000  # numbers of one file: a change in it renumbers no other


class Token:
    def __init__(self, match, source):
        self.text = match.group()
        self.begin, self.end = match.span()
        self.is_word = match.lastgroup == "word"
        self.before = source[self.begin - 1: self.begin].isspace()
        self.after = source[self.end: self.end + 1].isspace()
        self.spaced = self.before and self.after  # as the formatter leaves binary operators
        self.partner = None                       # of a bracket: the index of the other one
        self.constant = False


class File:
    def __init__(self, source):
        self.source = source
        self.tokens = [Token(m, source) for m in TOKEN.finditer(source) if m.lastgroup != "skip"]
        self.match_brackets()
        self.mark_constants()

    def match_brackets(self):
        stack = []
        for i, token in enumerate(self.tokens):
            previous = self.tokens[i - 1].text if i else ""
            if token.text in OPENING or (token.text == "<" and (previous == "template" or not token.before)):
                stack.append(i)
            elif token.text in OPENING.values() or (token.text == ">" and not token.before):
                partner = stack.pop()
                assert OPENING.get(self.tokens[partner].text, ">") == token.text, self.source[token.begin - 60:token.end]
                self.tokens[partner].partner, token.partner = i, partner

    def mark_constants(self):
        for i, token in enumerate(self.tokens):
            if token.text == "<" and token.partner:
                self.mark(i, token.partner)
            elif token.text in CONSTANT_CALLS and self.tokens[i + 1].text == "(":
                self.mark(i, self.tokens[i + 1].partner)
            elif token.text == "constexpr":
                self.mark(i, self.walk(i, 1, {";"}))

    def mark(self, first, last):
        for token in self.tokens[first: last + 1]:
            token.constant = True

    def walk(self, i, step, ends):
        """The last token from i on, in steps of 1 or -1, before one of `ends` at this depth."""
        while 0 <= i + step < len(self.tokens):
            token = self.tokens[i + step]
            if token.partner is not None:
                if (token.partner > i + step) != (step > 0):
                    return i  # the bracket around it all
                i = token.partner
            elif token.text in ends and (token.text not in "+-&<>" or token.spaced):
                return i
            else:
                i += step
        return i

    def is_subscript(self, i):
        """Whether the [ at i indexes, rather than declares an array or begins a lambda."""
        token, previous = self.tokens[i], self.tokens[i - 1]
        if token.before or not (previous.is_word or previous.text in ")]"):
            return False
        if previous.text == "]":
            return self.is_subscript(previous.partner)
        if previous.text == ")":  # float (&x)[N], T (*x)[N]
            return self.tokens[previous.partner + 1].text not in "&*"
        if previous.text in ("float", "double", "int", "auto", "T"):
            return False
        name = i - 1
        while self.tokens[name - 1].text in (".", "->", "::"):
            name -= 2
        type_end = self.tokens[name - 1]  # float x[N], T* const x[N], Vector<T> x[N]
        if type_end.text == ",":  # float x[N], y[N];
            first = self.walk(name, -1, {";"})
            return not (self.tokens[first].is_word and self.tokens[first + 1].is_word)
        if type_end.is_word:
            return type_end.text in ("return", "else")
        return not (type_end.text in "*&>" and type_end.after and not type_end.before)


class Edit:
    """One place: texts put around tokens first .. last, and operators replaced."""

    def __init__(self, kind, place, change, begin, end, prefix, suffix, replaced=None):
        self.kind, self.place, self.change = kind, place, change
        self.begin, self.end, self.prefix, self.suffix, self.replaced = begin, end, prefix, suffix, replaced


def edits_of(file):
    tokens = file.tokens
    for i, token in enumerate(tokens):
        if token.constant:
            continue
        if token.text in BARRIERS | WAITS:
            last = i + 1
            while tokens[last].text != "(":
                last = tokens[last].partner + 1
            last = tokens[last].partner
            yield Edit("barrier" if token.text in BARRIERS else "wait", (token.begin, tokens[last].end), "", token.begin,
                       tokens[last].end, "(M::on(#) ? static_cast<void>(0) : ", ")")
        elif token.text in COMPARISONS and token.spaced and token.partner is None:
            name, other = COMPARISONS[token.text]
            first, last = file.walk(i, -1, ENDS_COMPARISON), file.walk(i, 1, ENDS_COMPARISON)
            yield Edit("bound", (token.begin, token.end), other, tokens[first].begin, tokens[last].end, f"M::{name}(#, ",
                       ")", (token.begin - 1, token.end, ","))
        elif token.text in "+-" and token.spaced:
            last = file.walk(i, 1, ENDS_SUM)
            yield Edit("arithmetic", (token.begin, token.end), "-" if token.text == "+" else "+", tokens[i + 1].begin,
                       tokens[last].end, "M::Swapped(#, ", ")")
        elif token.text == "[" and file.is_subscript(i):
            end = tokens[token.partner].begin
            yield Edit("index", (token.end, end), file.source[token.end: end] + " + 1", token.end, end,
                       "M::shift(#) + (", ")")


def rewrite(source, edits, first_number):
    """The text with every edit in it: what is around, inside and instead."""
    pieces = []  # (where, order, text, characters it stands for)
    for n, e in enumerate(edits, first_number):
        def named(text, n=n):
            return text.replace("M::", "::fer::mutants::").replace("#", str(n))
        pieces.append((e.begin, 1, -e.end, named(e.prefix), 0))
        pieces.append((e.end, 0, -e.begin, named(e.suffix), 0))
        if e.replaced:
            begin, end, text = e.replaced
            pieces.append((begin, 2, 0, text, end - begin))
    out, at = [], 0
    for where, _, _, text, instead_of in sorted(pieces):
        out += [source[at:where], text]
        at = where + instead_of
    return "".join(out) + source[at:]


def points_of(source, name, edits, first_number):
    seen = {}
    for n, e in enumerate(edits, first_number):
        begin, end = e.place
        line_begin = source.rfind("\n", 0, begin) + 1
        line_end = source.find("\n", end)
        marked = source[line_begin:begin] + "{" + " ".join(source[begin:end].split()) + " -> " + e.change + "}"
        text = " ".join((marked + source[end:line_end]).split())
        text = text.replace(" -> }", " -> nothing}")
        seen[text] = seen.get(text, 0) + 1
        if seen[text] > 1:
            text += f" #{seen[text]}"  # the same line for the second time
        yield {"id": n, "file": name, "line": source.count("\n", 0, begin) + 1, "kind": e.kind, "text": text}


def write_if_changed(path, text):
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def main(sources, output):
    sources, output = pathlib.Path(sources), pathlib.Path(output)
    (output / "kernels").mkdir(parents=True, exist_ok=True)
    points = []
    files = sorted([*sources.glob("*.cu"), *sources.glob("*.cuh")])
    for number, path in enumerate(files):
        source = path.read_text()
        edits = list(edits_of(File(source)))
        assert len(edits) < PER_FILE, path
        points += points_of(source, path.name, edits, number * PER_FILE)
        write_if_changed(output / "kernels" / path.name,
                         f'#include "tests/kernels/mutants/mutants.hpp"\n#line 1 "{path}"\n'
                         + rewrite(source, edits, number * PER_FILE))
    write_if_changed(output / "points.json", "[\n" + ",\n".join(json.dumps(p) for p in points) + "\n]\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
