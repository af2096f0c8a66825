#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The rules of the tree, as a test.

Each rule is a function below, found by its name in RULES; `--list` prints them. A finding is one
line `file:line: what is wrong`. `--only a,b` runs some rules, `--skip a,b` leaves some out, and
`--self-test` feeds every rule a bad example and demands that it is caught: a rule that cannot fail
proves nothing.

Does not contain: the check that every requirement has a mark and a test (scripts/req-coverage), compiling
headers or the core (headers_test.sh, freestanding_test.sh).
"""
import argparse
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

LINES_MAX = 1000
FUNCTION_WARN = 70
FUNCTION_MAX = 120
COLUMNS_MAX = 110

CORE = ("src/devdrv/", "src/adapter/", "src/shim/kern/")
HOSTED = ("src/adapter/sim/posix/",)  # parts of those folders that live on a host
CORE_FILES = re.compile(r"src/shim/shim[a-z_]*\.[ch]$")


class Tree:
    """The files of the tree as text; tests replace it by a dictionary."""

    def __init__(self, files):
        self.files = files
        self.code_cache = {}

    def names(self, *suffixes):
        return [f for f in sorted(self.files) if not suffixes or f.endswith(suffixes)]

    def lines(self, name):
        return self.files[name].split("\n")

    def code(self, name):
        """Lines of a C file with comments and literals blanked; line numbers stay."""
        if name not in self.code_cache:
            self.code_cache[name] = strip_c(self.files[name]).split("\n")
        return self.code_cache[name]


def load_tree():
    try:
        out = subprocess.run(["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard"],
                             check=True, capture_output=True, text=True).stdout.split("\n")
        names = [n for n in out if n]
    except (OSError, subprocess.CalledProcessError):
        names = []
        for base, dirs, files in os.walk(ROOT):
            dirs[:] = [d for d in dirs if d not in (".git", "build", "__pycache__")]
            names += [os.path.relpath(os.path.join(base, f), ROOT) for f in files]
    files = {}
    for name in names:
        if name.startswith("bench/report/"):
            continue
        try:
            with open(os.path.join(ROOT, name), encoding="utf-8") as f:
                files[name] = f.read()
        except (UnicodeDecodeError, FileNotFoundError):
            continue  # a picture, or deleted in the work tree
    return Tree(files)


def strip_c(text):
    """Blank comments, strings and character constants, keeping newlines and the include lines."""
    token = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)

    def blank(m):
        s = m.group(0)
        if s[0] == '"':
            line_start = text.rfind("\n", 0, m.start()) + 1
            if text[line_start:m.start()].lstrip().startswith("#"):
                return s
        return re.sub(r"[^\n]", " ", s)

    return token.sub(blank, text)


def is_core(name):
    return (name.startswith(CORE) and not name.startswith(HOSTED)) or bool(CORE_FILES.match(name))


def is_script(tree, name):
    return name.endswith((".py", ".sh")) or tree.files[name].startswith("#!")


# ---------------------------------------------------------------- rules: each yields (file, line, text)

def rule_spdx(tree):
    """Every source, header, script and build file names its licence at the top."""
    for name in tree.names():
        build = os.path.basename(name) == "CMakeLists.txt" or name.endswith((".cmake", ".map", ".ss"))
        if not (name.endswith((".c", ".h")) or build or is_script(tree, name)):
            continue
        if not any("SPDX-License-Identifier: BSD-2-Clause" in x for x in tree.lines(name)[:2]):
            yield name, 1, "no SPDX-License-Identifier line at the top"


def rule_opening(tree):
    """Every C file opens with a comment that says what it contains."""
    for name in tree.names(".c", ".h"):
        body = [x for x in tree.lines(name)[1:6] if x.strip()]
        if not body or not body[0].startswith("/*"):
            yield name, 2, "no opening comment after the licence line"


def rule_length(tree):
    """No source file above the limit."""
    for name in tree.names(".c", ".h", ".py", ".sh"):
        n = len(tree.lines(name)) - 1
        if n > LINES_MAX:
            yield name, n, f"{n} lines, at most {LINES_MAX}"


def functions(code):
    """(first line, last line, name) of every function in blanked C code, by the brace in column 0."""
    start, name = None, ""
    for i, line in enumerate(code, 1):
        m = re.match(r"[A-Za-z_].*?(\w+)\(", line)
        if m and start is None:
            name = m.group(1)
        if start is None and (line.rstrip() == "{" or re.match(r"[A-Za-z_][^=]*\)\s*\{\s*$", line)):
            start = i
        elif start is not None and line.startswith("}"):
            yield start, i, name
            start = None


def long_functions(tree, low, high):
    for name in tree.names(".c", ".h"):
        for first, last, func in functions(tree.code(name)):
            n = last - first + 1
            if low < n <= high:
                yield name, first, f"{func}() has {n} lines"


def rule_functions(tree):
    """No function above the hard limit."""
    for name, line, text in long_functions(tree, FUNCTION_MAX, 10 ** 9):
        yield name, line, f"{text}, at most {FUNCTION_MAX}"


def rule_blanks(tree):
    """No tab, no trailing blank, no carriage return; a newline at the end; lines not too long."""
    for name in tree.names(".c", ".h", ".py", ".sh", ".cmake", "CMakeLists.txt"):
        lines = tree.lines(name)
        if lines[-1] != "":
            yield name, len(lines), "no newline at the end of the file"
        for i, line in enumerate(lines, 1):
            if "\t" in line:
                yield name, i, "tab"
            if line != line.rstrip():
                yield name, i, "trailing blank"
            if len(line) > COLUMNS_MAX:
                yield name, i, f"{len(line)} columns, at most {COLUMNS_MAX}"


# Written in halves, or this file would be its own first finding.
MARKERS = ["TO" "DO", "FIX" "ME", "XX" "X", "HA" "CK"]


def rule_markers(tree):
    """No marker of unfinished work: finish it, or open an issue."""
    word = re.compile(r"\b(" + "|".join(MARKERS) + r")\b")
    for name in tree.names():
        for i, line in enumerate(tree.lines(name), 1):
            if word.search(line):
                yield name, i, "marker word: " + word.search(line).group(1)


MACHINE = re.compile(r"(?<![\w.}/])/(?:wo" r"rk|ro" r"ot|tmp/te" r"am)(?![\w-])|\.lib" r"rary\b|/home/\w")


def rule_machine(tree):
    """No path of one machine."""
    for name in tree.names():
        for i, line in enumerate(tree.lines(name), 1):
            if MACHINE.search(line):
                yield name, i, "path of one machine: " + MACHINE.search(line).group(0)


CORE_BANNED = """malloc calloc realloc free printf fprintf sprintf snprintf vsnprintf puts putchar
assert abort exit sleep usleep nanosleep clock_gettime gettimeofday time rand random srand strlen strcpy
strncpy strcat strcmp strncmp strdup alloca pthread_create pthread_mutex_lock""".split()
EVERYWHERE_BANNED = "gets strcpy strcat sprintf vsprintf alloca tmpnam mktemp".split()
TEST_BANNED = "sleep usleep nanosleep".split()


def rule_calls(tree):
    """Calls no layer, or not this layer, may make."""
    def banned(words):
        return re.compile(r"(?<![\w.>])(" + "|".join(words) + r")\s*\(")

    core, everywhere, test = banned(CORE_BANNED), banned(EVERYWHERE_BANNED), banned(TEST_BANNED)
    for name in tree.names(".c", ".h"):
        for i, line in enumerate(tree.code(name), 1):
            m = everywhere.search(line)
            why = "anywhere"
            if not m and is_core(name):
                m, why = core.search(line), "in the core"
                if re.search(r"(_Thread_local|__thread)\b", line):
                    yield name, i, "thread-local storage in the core"
            if not m and name.startswith("tests/"):
                m, why = test.search(line), "in a test: wait for the event, not for time"
            if m:
                yield name, i, f"{m.group(1)}() is not allowed {why}"


def rule_cmake(tree):
    """Every C file is named in the CMakeLists.txt of its folder or of one above."""
    for name in tree.names(".c"):
        folder, found = os.path.dirname(name), False
        while not found:
            listing = tree.files.get(os.path.join(folder, "CMakeLists.txt"), "")
            rel = os.path.relpath(name, folder or ".")
            found = re.search(r"(?<![\w/])" + re.escape(rel) + r"(?!\w)", listing) is not None
            if not folder:
                break
            folder = os.path.dirname(folder)
        if not found:
            yield name, 1, "named in no CMakeLists.txt"


# What a folder may include, by the first pattern that fits. SYS is include/sys.
SYS = r"<sys/(?!{0})\w+\.h>"
SHIM_H = r"<scpair/shim\.h>"
CHIP_H = r"<scpair/ad_hw\.h>"
COMPILER = r"<std(atomic|arg)\.h>"  # the compiler's own, not the host's
# A header of the host: a name without a folder, or one in its own <sys/>.
HOST_H = r"<(?!scpair/|sys/(buf|devinfo|kservices|trchkid|sc\w+)\.h)[\w/]+\.h>"
INCLUDE_RULES = [
    # What differs from host to host is asked in one header, and struct iovec in another.
    (r"include/scpair/shim_types\.h",
     [r"<sys/sclang\.h>", r"<(limits|stdbool|stddef|stdint|errno|string)\.h>", "SCPAIR_PORT_TYPES_H"]),
    (r"include/sys/sctypes\.h", [r"<scpair/shim_types\.h>"]),
    (r"include/sys/scuio\.h", [SYS.format(" "), COMPILER]),
    (r"include/sys/", [SYS.format("uio"), COMPILER]),
    (r"include/scpair/shim\.h", [r"<sys/(sctypes|sclock)\.h>"]),
    (r"include/scpair/ad_hw\.h", [r"<sys/sctypes\.h>", SHIM_H]),
    (r"include/scpair/", [SYS.format("uio")]),
    (r"src/devdrv/", [SYS.format("uio"), COMPILER, r'"dd_impl\.h"']),
    # The adapter driver knows no command set and no disk.
    (r"src/adapter/[^/]*$", [SYS.format("scsiproto|scdisk|uio"), SHIM_H, CHIP_H, COMPILER,
                            r'"ad_(impl|recover)\.h"']),
    # A medium on a host knows the simulated disk and the host, nothing of ours beyond.
    (r"src/adapter/sim/posix/", [HOST_H, r'"\.\./sim\.h"', r'"sim_posix\w*\.h"']),
    # A chip knows no driver: no kernel services, no disk ioctls.
    (r"src/adapter/\w+/",
     [SYS.format("kservices|scdisk|uio"), SHIM_H, CHIP_H, COMPILER, r'"(sim|sym)\w*\.h"']),
    (r"src/shim/kern/", [SYS.format("scsi|scsiproto|scdisk|uio"), SHIM_H, COMPILER, r'"kern_impl\.h"']),
    (r"tests/conformance/head/thead\.", [SYS.format("uio"), r'"thead\.h"']),
    # A host knows the shim alone: no arrow runs back up to who is built on it.
    (r"src/shim/(posix|det)/",
     [HOST_H, SHIM_H, r"<sys/(sctypes|sclock|scsched)\.h>", r'"(posix|det)_\w+\.h"', r'"\.\./shim_\w+\.h"']),
    (r"src/shim/shim\w*\.[ch]$",
     [SYS.format("scsi|scsiproto|scdisk|uio"), SHIM_H, COMPILER, r'"shim_\w+\.h"']),
]


def rule_includes(tree):
    """The include graph of the architecture: which folder may see which header (AIX-29)."""
    ours = {os.path.basename(n) for n in tree.names(".h") if n.startswith("include/sys/")}
    for clash in sorted(ours & {"uio.h", "ioctl.h", "errno.h", "types.h", "user.h", "param.h"}):
        yield "include/sys/" + clash, 1, "hides the host's header of the same name"
    for name in tree.names(".c", ".h"):
        allowed = next((a for pattern, a in INCLUDE_RULES if re.match(pattern, name)), None)
        if allowed is None:
            continue
        for i, line in enumerate(tree.code(name), 1):
            m = re.match(r"\s*#\s*include\s*(<[^>]+>|\"[^\"]+\")", line)
            if not m:
                continue
            header = m.group(1)
            if not any(re.fullmatch(a, header) for a in allowed):
                yield name, i, f"{header} may not be included here"
            elif HOST_H not in allowed and header.startswith("<sys/") and \
                    header[5:-1] not in ours and header != "<sys/uio.h>":
                yield name, i, f"{header} is a host header"


# The bytes of a CDB, by every name the adapter core has for them.
CDB_BYTE = re.compile(r"(scsi_op_code|scsi_bytes\s*\[[^\]]*\]|scsi_cmd\.lun|xfer_cdb\s*\[[^\]]*\]"
                      r"|\*\s*[\w>.-]*xfer_cdb\b)")


def rule_opcodes(tree):
    """The adapter core may build a CDB for an ioctl, and copy one; it never reads a byte of one."""
    for name in tree.names(".c", ".h"):
        if not re.match(r"src/adapter/[^/]*$", name):
            continue
        for i, line in enumerate(tree.code(name), 1):
            for m in CDB_BYTE.finditer(line):
                rest = line[m.end():].lstrip()
                declared = re.search(r"\bconst uint8_t \*\s*xfer_cdb;", line)
                if not declared and not re.match(r"[|&]?=(?!=)", rest):
                    yield name, i, f"reads a CDB byte: {m.group(1)}"


def rule_doc(tree):
    """In include/ every declaration stands in a paragraph that begins with, or carries, a comment."""
    for name in tree.names(".h"):
        if not name.startswith("include/"):
            continue
        lines, code = tree.lines(name), tree.code(name)
        has_comment, opened, depth = False, False, 0
        for i, line in enumerate(lines, 1):
            text = code[i - 1]
            if depth == 0 and not line.strip():
                has_comment = False
            if line.strip() and not text.strip():
                has_comment = True
            if "/*" in line:
                has_comment = True
            declares = re.match(r"(?!typedef|SC_STATIC_ASSERT|#|\})[A-Za-z_][\w\s\*]*(\(|\{)", text)
            if depth == 0 and declares and not has_comment:
                yield name, i, "declaration without a comment: " + line.strip()[:50]
            depth += text.count("{") - text.count("}")
            opened = opened or depth > 0


RULES = {name[5:]: func for name, func in sorted(globals().items()) if name.startswith("rule_")}

# ---------------------------------------------------------------- a bad example for every rule

GOOD_C = "/* SPDX-License-Identifier: BSD-2-Clause */\n/* x.c - nothing. */\n"
BAD = {
    "spdx": {"src/scp/a.c": "int a;\n"},
    "opening": {"src/scp/a.c": "/* SPDX-License-Identifier: BSD-2-Clause */\nint a;\n"},
    "length": {"src/scp/a.c": GOOD_C + "\n" * LINES_MAX},
    "functions": {"src/scp/a.c": GOOD_C + "int f(void)\n{\n" + "    f();\n" * FUNCTION_MAX + "}\n"},
    "blanks": {"src/scp/a.c": GOOD_C + "int a; \n"},
    "markers": {"src/scp/a.c": GOOD_C + "/* " + MARKERS[0] + " */\n"},
    "machine": {"docs/a.md": "see /wo" "rk/x\n"},
    "calls": {"src/adapter/a.c": GOOD_C + "int f(void) { return printf(a); }\n"},
    "cmake": {"src/scp/a.c": GOOD_C, "src/scp/CMakeLists.txt": "scpair_sources(aa.c)\n"},
    "includes": {"src/devdrv/dd_a.c": GOOD_C + "#include <scpair/shim.h>\n"},
    "opcodes": {"src/adapter/ad_a.c": GOOD_C + "int f(x) { return x->scsi_cmd.scsi_op_code == 0x28; }\n"},
    "doc": {"include/sys/a.h": GOOD_C + "\nint undocumented(void);\n"},
}


def self_test():
    bad = 0
    for rule, func in RULES.items():
        caught = rule in BAD and list(func(Tree(BAD[rule])))
        print(f"{'ok' if caught else 'FAIL'} {rule}")
        bad += not caught
    clean = {"src/adapter/ad_a.c": GOOD_C + "void f(x) { x->scsi_cmd.scsi_op_code = 0x12; }\n",
             "src/adapter/CMakeLists.txt":
             "# SPDX-License-Identifier: BSD-2-Clause\nscpair_sources(ad_a.c)\n"}
    for rule, func in RULES.items():
        for name, line, text in func(Tree(clean)):
            print(f"FAIL {rule} finds fault with a clean file: {text}")
            bad += 1
    return 1 if bad else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="comma-separated rules to run")
    parser.add_argument("--skip", default="", help="comma-separated rules to leave out")
    parser.add_argument("--list", action="store_true", help="print the rules")
    parser.add_argument("--self-test", action="store_true", help="show that every rule can fail")
    parser.add_argument("-v", action="store_true", help="also name long functions that are allowed")
    args = parser.parse_args()

    if args.list:
        for rule, func in RULES.items():
            print(f"{rule:10} {func.__doc__}")
        return 0
    if args.self_test:
        return self_test()
    only, skip = set(filter(None, args.only.split(","))), set(filter(None, args.skip.split(",")))
    unknown = (only | skip) - set(RULES)
    if unknown:
        print(f"no such rule: {', '.join(sorted(unknown))}; --list prints them", file=sys.stderr)
        return 2
    tree, findings = load_tree(), 0
    chosen = [r for r in RULES if (not only or r in only) and r not in skip]
    for rule in chosen:
        for name, line, text in RULES[rule](tree):
            if findings == 0:
                print(f"rerun: {sys.argv[0]} --only {rule}")
            print(f"{name}:{line}: [{rule}] {text}")
            findings += 1
    warned = list(long_functions(tree, FUNCTION_WARN, FUNCTION_MAX)) if "functions" in chosen else []
    if args.v:
        for name, line, text in warned:
            print(f"{name}:{line}: note: {text}, aim for {FUNCTION_WARN}")
    print(f"tidy: {len(tree.files)} files, {len(chosen)} rules, {findings} findings, "
          f"{len(warned)} functions above {FUNCTION_WARN} lines")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
