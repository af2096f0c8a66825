#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Makes the comments of a public header known to Doxygen.

The headers follow one habit: a comment stands above what it is about, or at the end of the line,
and goes for the whole paragraph up to the next blank line or comment. Doxygen wants /** and
/**<, and one comment per declaration. This filter reads a header and writes it so; line numbers stay.

Does not contain: a judgement. Whatever is left without a comment is Doxygen's to complain about.
"""
import re
import sys

BANNER = re.compile(r"/\* -{10,}")
# Conditionals, what sclang.h hides, assertions, and the end of a structure, which may have a comment.
NO_DECLARATION = re.compile(r"#\s*(include|if|ifdef|ifndef|else|elif|endif|undef)\b|SC_(BEGIN|END)_DECLS"
                            r"|SC_STATIC_ASSERT|\}[^;]*;?(\s*/\*.*\*/)?$")
ROOM = re.compile(r"\b\w*(reserved|resvd|pad)\d*\b")


def escape(text):
    """Nothing in a comment is a command or a tag."""
    return re.sub(r"([\\@<>&#%])", r"\\\1", text)


class Filter:
    def __init__(self, lines):
        self.lines = lines
        self.out = []
        self.doc = ""  # what the comment above says, good for its paragraph
        self.members = []  # the comments of the structures, unions and enumerations we are in

    def comment(self, i):
        """The comment that begins line i: where it ends, and what it says."""
        end = i
        while "*/" not in self.lines[end]:
            end += 1
        text = " ".join(x.strip().lstrip("/").strip("*").strip() for x in self.lines[i:end + 1])
        return end, escape(text.rstrip("/").rstrip("*").strip())

    def put_comment(self, i, end, opening):
        head, rest = self.lines[i].split("/*", 1)
        self.out.append(head + opening + escape(rest))
        self.out += [escape(x) for x in self.lines[i + 1:end + 1]]

    def declaration(self, i):
        """One declaration from line i on, to where it ends; its lines with their documentation."""
        line = self.lines[i]
        preprocessor = line.lstrip().startswith("#")
        end = i
        if preprocessor:
            while self.lines[end].endswith("\\"):
                end += 1
        else:
            # The last enumerator has nothing at its end but the brace in the next line.
            while (not re.search(r"[;{},]\s*(/\*.*)?$|\)\s*\{.*\}$", self.lines[end])
                   or self.open_parenthesis(i, end)) and not self.lines[end + 1].strip().startswith("}"):
                end += 1
        block = self.lines[i:end + 1]
        trailing = re.search(r"\s/\*(.*)$", block[-1])
        if trailing:
            block[-1] = block[-1][:trailing.start()] + " /**<" + escape(trailing.group(1))
            self.out += block
            if "*/" not in trailing.group(1):
                stop, _ = self.comment(end)
                self.out += [escape(x) for x in self.lines[end + 1:stop + 1]]
                end = stop
        else:
            doc = self.doc
            if not doc and self.members and ROOM.search(line):
                doc = "Room for what comes; 0."
            if doc and preprocessor:
                block[-1] += f" /**< {doc} */"
            elif doc and self.lines[i].strip() not in ("}", "};"):
                block[0] = f"/** {doc} */ " + block[0]
            self.out += block
        return end

    def open_parenthesis(self, first, last):
        text = re.sub(r"/\*.*?(\*/|$)", "", "\n".join(self.lines[first:last + 1]), flags=re.M)
        return text.count("(") > text.count(")")

    def skip_body(self, i):
        """A function's body is nobody's documentation."""
        while not self.lines[i].startswith("}"):
            self.out.append(self.lines[i])
            i += 1
        self.out.append(self.lines[i])
        return i

    def run(self):
        i, first = 0, True
        while i < len(self.lines):
            line = self.lines[i]
            text = line.strip()
            if text.startswith("/*"):
                end, doc = self.comment(i)
                after = self.lines[end + 1].strip() if end + 1 < len(self.lines) else ""
                if i > 0 and first:
                    self.put_comment(i, end, "/** @file ")
                    first = False
                    self.doc = ""
                elif BANNER.match(text) or not after or i == 0:
                    self.out += self.lines[i:end + 1]
                    self.doc = ""
                else:
                    # The text goes with each declaration; the lines stay, so that numbers do.
                    self.out += [""] * (end + 1 - i)
                    self.doc = doc
                i = end
            elif not text:
                self.out.append(line)
                self.doc = ""
            elif NO_DECLARATION.match(text):
                self.out.append(line.replace("/*", "/**<", 1))
                if text.startswith("}"):
                    # What follows it without a blank line belongs to it: an ioctl number, a function.
                    self.doc = self.members.pop() if self.members else ""
            else:
                i = self.declaration(i)
                if self.lines[i] == "{":
                    i = self.skip_body(i + 1)
                elif re.search(r"\{\s*(/\*.*)?$", self.lines[i]) and not re.search(r"[(#]", line):
                    self.members.append(self.doc)
                    self.doc = ""
                elif self.members and self.out[-1].find("/**<") >= 0:
                    self.doc = ""
            i += 1
        return "\n".join(self.out)


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        sys.stdout.write(Filter(f.read().split("\n")).run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
