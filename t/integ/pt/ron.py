"""RON texts (Rusty Object Notation), as far as public test cases use it: structures, lists, maps,
strings, numbers, words.  A structure becomes a dict, its name (or that of a bare word) a Word."""

import re

_TOKEN = re.compile(r'\s+|//[^\n]*|"(?:\\.|[^"\\])*"|[A-Za-z_]\w*|-?\d+|[(){}\[\]:,]', re.S)
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|.)", re.S)
_SIMPLE = {"r": "\r", "n": "\n", "t": "\t", "0": "\0"}
COMMENTED = re.compile(r"^\s*//\s*([a-z_]+: .*,)\s*$", re.M)


class Word(str):
    """A name: of an enumeration's value, which may have .args."""

    args = ()


def _tokens(text):
    at = 0
    while at < len(text):
        m = _TOKEN.match(text, at)
        if m is None:
            raise ValueError(f"not RON: {text[at:at + 20]!r}")
        at = m.end()
        if not m[0].isspace() and not m[0].startswith("//"):
            yield m[0]


def _string(token):
    return _ESCAPE.sub(lambda m: chr(int(m[1][1:], 16)) if m[1][0] == "x" and len(m[1]) == 3
                       else _SIMPLE.get(m[1], m[1]), token[1:-1])


class _Parser:
    def __init__(self, text):
        self.tokens = list(_tokens(text))
        self.at = 0

    def peek(self, ahead=0):
        return self.tokens[self.at + ahead] if self.at + ahead < len(self.tokens) else ""

    def take(self, want=None):
        token = self.peek()
        if want is not None and token != want:
            raise ValueError(f"not RON: {token!r} where {want!r} had to be")
        self.at += 1
        return token

    def until(self, end, item):
        out = []
        while self.peek() != end:
            out.append(item())
            if self.peek() != end:
                self.take(",")
        self.take(end)
        return out

    def pair(self):
        key = self.value()
        self.take(":")
        return key, self.value()

    def body(self):
        """Behind "(": a structure with names, or values in a row."""
        if self.peek(1) == ":" and self.peek() != ")":
            return dict(self.until(")", self.pair))
        return self.until(")", self.value)

    def value(self):
        token = self.take()
        if token.startswith('"'):
            return _string(token)
        if token == "(":
            return self.body()
        if token == "[":
            return self.until("]", self.value)
        if token == "{":
            return dict(self.until("}", self.pair))
        if token in ("true", "false"):
            return token == "true"
        if re.fullmatch(r"-?\d+", token):
            return int(token)
        word = Word(token)
        if self.peek() == "(":
            self.take()
            word.args = self.body()
        return word


def parse(text):
    """The value that a text stands for; ValueError when it is none."""
    p = _Parser(text)
    value = p.value()
    if p.peek():
        raise ValueError(f"not RON: {p.peek()!r} behind the end")
    return value


def variants(text):
    """A text, and the same with each of its commented-out settings taken in."""
    yield text
    for m in COMMENTED.finditer(text):
        key = m[1].partition(":")[0]
        rest = re.sub(rf"^(\s*){key}: .*$", r"\1// \g<0>", text[:m.start()], flags=re.M) + "\n" + m[1] + text[m.end():]
        yield rest
