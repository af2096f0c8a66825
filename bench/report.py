#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Makes DIR/results.md and DIR/results.png out of DIR/core.json and DIR/fuse.json.

With --run it runs bench/core and bench/fuse first and leaves their output in those two files; a
file that is missing otherwise only leaves its part out. The plot needs gnuplot and is skipped, with
a word about it, where there is none.

Does not contain: measuring (core.c, fuse.py), judging: a missed goal is shown, not an error.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
SERVERS = ["scpair", "qsd", "nbdfuse", "floor"]
# The goals for the in-process figures.
RAM_RATIO_MAX = 1.5
NULL_NS_MAX = 150.0


def load(path):
    try:
        with open(path, encoding="utf-8") as f:
            return json.load(f)
    except FileNotFoundError:
        return None


def number(value, digits):
    return "–" if value is None else f"{value:,.{digits}f}"


def verdict(value, goal):
    """The figure, and the goal when it is missed."""
    if value is None:
        return "–"
    return f"{value:.2f}" if goal is None or value >= goal else f"{value:.2f} (goal {goal:g})"


def core_goal(row):
    if row["disk"] == "null":
        return "" if row["ns"] <= NULL_NS_MAX else f"more than {NULL_NS_MAX:g} ns"
    if row["op"] == "randread" and row["depth"] == 32 and row["ratio"] > RAM_RATIO_MAX:
        return f"more than {RAM_RATIO_MAX:g}"
    return ""


def core_table(rows):
    out = ["## In process: 4 KiB requests", "",
           "| disk | operation | depth | threads | disks | ns/request | memcpy floor, ns | ratio "
           "| bufs/command | |",
           "|---|---|--:|--:|--:|--:|--:|--:|--:|---|"]
    for row in rows:
        bufs = number(row.get('bufs_per_command'), 1)
        out.append(f"| {row['disk']} | {row['op']} | {row['depth']} | {row.get('threads', 1)} "
                   f"| {row.get('disks', 1)} | {row['ns']:.0f} "
                   f"| {row['floor_ns']:.0f} | {row['ratio']:.2f} | {bufs} | {core_goal(row)} |")
    return out + [""]


def fuse_table(data):
    out = ["## Mounted: fio on FUSE", "",
           "`ratio` is against the better of the two peers, `of floor` against a libfuse server that does",
           "nothing but `pread` and `pwrite`. Medians.", "",
           "| job | unit | scpair | qemu-storage-daemon | nbdfuse | floor | ratio | of floor |",
           "|---|---|--:|--:|--:|--:|--:|--:|"]
    for row in data["rows"]:
        out.append(f"| {row['job']} | {row['unit']} | " + " | ".join(number(row[s], 0) for s in SERVERS) +
                   f" | {verdict(row['ratio'], row.get('wanted_ratio'))} "
                   f"| {verdict(row['of_floor'], row.get('wanted_of_floor'))} |")
    machine = data.get("machine", {})
    return out + ["", ", ".join(f"{k} {v}" for k, v in machine.items() if v), ""]


def fuse_panel(rows):
    """gnuplot: each server relative to the floor, so that jobs of different units share an axis."""
    lines = ["$fuse << EOD"]
    for row in rows:
        floor = row["floor"] or None
        cells = [f"{row[s] / floor:.4f}" if floor and row[s] else "?" for s in SERVERS]
        lines.append(f"\"{row['job']}\" " + " ".join(cells))
    return lines + ["EOD", 'set title "fio on FUSE mounts, relative to the floor"',
                    'set ylabel "times the floor"', "set xtics rotate by -35",
                    "plot " + ", ".join(f"$fuse using {i + 2}:xtic(1) title \"{name}\""
                                        for i, name in enumerate(SERVERS))]


def core_panel(rows):
    lines = ["$core << EOD"]
    for row in rows:
        lines.append(f"\"{row['disk']} {row['op']} {row['depth']}\" {row['ns']} {row['floor_ns']}")
    return lines + ["EOD", 'set title "4 KiB request in process"', 'set ylabel "ns"',
                    "set xtics rotate by -35",
                    'plot $core using 2:xtic(1) title "driver pair", $core using 3 title "memcpy"']


def plot(path, panels):
    gnuplot = shutil.which("gnuplot")
    if gnuplot is None:
        print("report: no gnuplot, so no plot; apt-get install gnuplot-nox", file=sys.stderr)
        return False
    script = [f"set terminal pngcairo size 1400,{560 * len(panels)}", f"set output \"{path}\"",
              "set datafile missing \"?\"", "set style data histograms", "set style fill solid 0.8",
              "set boxwidth 0.9", "set yrange [0:*]", "set grid ytics", "set key above",
              f"set multiplot layout {len(panels)},1"]
    for panel in panels:
        script += panel
    done = subprocess.run([gnuplot], input="\n".join(script + ["unset multiplot", ""]), text=True,
                          capture_output=True, check=False)
    if done.returncode:
        print("report: gnuplot: " + done.stderr.strip(), file=sys.stderr)
    return done.returncode == 0


def run(directory, quick):
    for name in ("core", "fuse"):
        command = [os.path.join(HERE, name), "--json"] + (["--quick"] if quick else [])
        part = os.path.join(directory, name + ".json.part")
        with open(part, "w", encoding="utf-8") as out:
            code = subprocess.run(command, stdout=out, check=False).returncode
        if code == 0:
            os.replace(part, os.path.join(directory, name + ".json"))
        else:
            os.unlink(part)
            print(f"report: bench/{name} ended with status {code}; its part is left out", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(prog="report", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", action="store_true", help="run bench/core and bench/fuse first")
    parser.add_argument("--quick", action="store_true", help="with --run: short runs")
    parser.add_argument("directory", metavar="DIR", help="where the JSON files are and the results go")
    options = parser.parse_args()
    os.makedirs(options.directory, exist_ok=True)
    if options.run:
        run(options.directory, options.quick)
    core = load(os.path.join(options.directory, "core.json"))
    fuse = load(os.path.join(options.directory, "fuse.json"))
    if core is None and fuse is None:
        print(f"report: {options.directory}: neither core.json nor fuse.json; make them with --run",
              file=sys.stderr)
        return 2
    text, panels = ["# Benchmark results", ""], []
    if core is not None:
        text += core_table(core["rows"])
        panels.append(core_panel(core["rows"]))
    if fuse is not None:
        text += fuse_table(fuse)
        panels.append(fuse_panel(fuse["rows"]))
    if plot(os.path.join(options.directory, "results.png"), panels):
        text += ["![plot](results.png)", ""]
    with open(os.path.join(options.directory, "results.md"), "w", encoding="utf-8") as out:
        out.write("\n".join(text))
    print(os.path.join(options.directory, "results.md"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
