"""What RE2 makes of patterns, through TensorFlow's string ops: python tools/goldens/re2.py

Writes tests/goldens/re2/manifest.json: for each pattern, rewrite and text what RegexReplace gives (all matches, and the first alone) and
whether RegexFullMatch fits; or the sentence of the error. Texts are base64.
"""

import base64
import json
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

OUT = Path(__file__).resolve().parents[2] / "tests" / "goldens" / "re2"

TEXTS = [
    "", "a", "aaa", "abc", "ABC abc", "foo bar", "The quick, brown fox!", "a\nb", "a1b22c333", "x_y-z", "héllo wörld", "€5 ß ſ K", "日本語 text",
    b"bad \xff\xfe bytes", "tab\tend", "((nested))", "a.b*c", "aab", "  spaces  ", "\u0130i\u0131I", "αβγ ΑΒΓ",
]

# pattern, rewrite
PATTERNS = [
    ("a", "-"), ("", "-"), ("a*", "-"), ("a+", "<\\0>"), ("a??", "-"), ("a*?", "-"), ("(a)(b)?", "[\\2|\\1]"), ("a|ab", "-"), ("ab|a", "-"), ("(a|ab)(c|bcd)", "\\1.\\2"),
    ("[!\"#$%&()\\*\\+,-\\./:;<=>?@\\[\\\\\\]^_`{|}~\\']", ""), ("\\s+", " "), ("^\\s+|\\s+$", ""), ("\\bfoo\\b", "F"), ("\\Bo\\B", "."), ("\\d+", "#"), ("\\D+", "#"), ("\\w+", "w"), ("\\W", "_"),
    ("[^a-z]", ""), ("[^\\w\\s]", ""), ("[[:punct:]]", ""), ("[[:^alpha:]]+", " "), ("[[:space:][:digit:]]", "."), ("[]a]", "-"), ("[^]a]", "-"), ("[a-]", "+"), ("[-a]", "+"), ("[\\]a]", "-"),
    ("(?i)abc", "x"), ("(?i)[k-s]", "x"), ("(?i)\u00df", "x"), ("(?i)α", "x"), ("(?i)[^a]", "x"), ("(?i)\\pL", "x"), ("(?i)\\PL", "x"), ("(?i)[\\W]", "x"), ("(?i)\\p{Lu}", "x"), ("(?i)\\P{Lu}", "x"), ("(?i)[\\P{Lu}b]", "x"),
    ("\\pL+", "L"), ("\\p{Greek}", "G"), ("\\p{^Greek}", "G"), ("\\P{Han}", "n"), ("[\\p{Han}a-c]+", "H"), ("\\p{Lu}", "U"), ("\\pN", "N"), ("\\p{Any}", "."), ("\\p{Nope}", "."), ("\\pQ", "."),
    (".", "."), ("(?s).", "."), ("^a", "-"), ("a$", "-"), ("(?m)^", ">"), ("(?m)$", "<"), ("\\Aa", "-"), ("a\\z", "-"), ("\\Z", "-"), ("(?U)a+", "-"), ("(?U)a+?", "-"), ("(?i:a)b", "-"), ("a(?i)b", "-"), ("(?i-i)a", "-"), ("(?-s).", "-"),
    ("a{2}", "-"), ("a{2,}", "-"), ("a{1,2}", "-"), ("a{,2}", "-"), ("a{", "-"), ("a{2", "-"), ("a{1,2}?", "-"), ("a{1001}", "-"), ("(a{100}){100}", "-"), ("a{3,2}", "-"), ("a**", "-"), ("a+*", "-"), ("a{2}{3}", "-"), ("a*??", "-"), ("*a", "-"), ("a|*", "-"), ("(*a)", "-"), ("+", "-"), ("?", "-"),
    ("(", "-"), (")", "-"), ("a)b", "-"), ("(a", "-"), ("[", "-"), ("[a", "-"), ("[z-a]", "-"), ("[a-\\d]", "-"), ("[[:nope:]]", "-"), ("[[:alpha:]", "-"), ("\\", "-"), ("a\\", "-"), ("\\8", "-"), ("\\1", "-"), ("\\12", "-"), ("\\0", "-"), ("\\141", "-"), ("\\x61", "-"), ("\\x{20ac}", "-"), ("\\x{110000}", "-"), ("\\x6", "-"), ("\\q", "-"), ("\\_", "-"), ("\\-", "+"), ("\\é", "-"), ("\\Qa.b\\E", "-"), ("\\Q.*", "-"), ("\\a\\f\\v", "-"),
    ("(?=a)", "-"), ("(?!a)", "-"), ("(?<=a)", "-"), ("(?<!a)", "-"), ("(?P<n>a)", "<\\1>"), ("(?<n>a)", "<\\1>"), ("(?P<n>a)(?P<n>b)", "<\\1>"), ("(?P=n)", "-"), ("(?P<>a)", "-"), ("(?i", "-"), ("(?", "-"), ("(?x)a", "-"), ("(?i-)a", "-"), ("(?-)a", "-"), ("(?)a", "-"), ("(?:)", "-"), ("(?#c)", "-"), ("(?>a)", "-"),
    ("a", "\\1"), ("(a)", "\\\\1"), ("a", "\\x"), ("a", "b\\"), ("a", "$0 & \\0\\0"), ("é", "e"), ("[é-ö]", "e"), ("[^é]", "."), ("日|本", "-"), ("(a+)+$", "-"), ("(a|a)*b", "-"), ("(.*)(.*)(.*)x", "-"), ("x*", "-"), ("$", "-"), ("^", "-"), ("\\b", "|"), ("()", "-"), ("(|a)+", "-"), ("(|a)*", "-"), ("(?:a|b)+?c", "-"), ("(a|b){2,}", "<\\1>"), ("(a|)+", "-"), ("(a*)+", "<\\1>"), ("(a*)*", "<\\1>"), ("[[.a.]]", "-"), ("[a&&b]", "-"), ("{", "-"), ("}", "-"), ("a{b}", "-"), ("[\\b]", "-"), ("[\\Qa]", "-"), ("\\h", "-"), ("\\R", "-"), ("\\K", "-"), ("\\cA", "-"), ("\\u0061", "-"),
]


def encode(text):
    raw = text.encode() if isinstance(text, str) else text
    return base64.b64encode(raw).decode()


def run(pattern, rewrite):
    texts = tf.constant([t.encode() if isinstance(t, str) else t for t in TEXTS])
    try:
        every = tf.raw_ops.RegexReplace(input=texts, pattern=pattern, rewrite=rewrite, replace_global=True).numpy()
        first = tf.raw_ops.RegexReplace(input=texts, pattern=pattern, rewrite=rewrite, replace_global=False).numpy()
        full = tf.raw_ops.RegexFullMatch(input=texts, pattern=pattern).numpy()
    except tf.errors.InvalidArgumentError as e:
        return {"error": e.message.split("}} ")[-1].split(" [Op:")[0]}
    # what stays as it is has no line
    changed = lambda out: {str(i): encode(v) for i, v in enumerate(out) if v != texts.numpy()[i]}
    return {"all": changed(every), "first": changed(first), "full": [i for i, v in enumerate(full) if v]}


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    rows = [{"pattern": p, "rewrite": r, **run(p, r)} for p, r in PATTERNS]
    body = ",\n".join(json.dumps(r, ensure_ascii=False, separators=(",", ":")) for r in rows)
    head = {"by": f"tensorflow {tf.__version__}", "command": "python tools/goldens/re2.py", "texts": [encode(t) for t in TEXTS]}
    (OUT / "manifest.json").write_text(json.dumps(head)[:-1] + ',\n"rows": [\n' + body + "\n]}\n")
    print(len(rows), "patterns")


if __name__ == "__main__":
    main()
