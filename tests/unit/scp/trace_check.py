# SPDX-License-Identifier: BSD-2-Clause
"""What every trace of scp_trace.c keeps to, whatever was traced; used by trace_test.py and fuse/trace.py.

Times are taken as text and counted in nanoseconds: a float would hide a digit.
"""
import json
from decimal import Decimal


def load(text):
    """The events with ts, dur and end in whole nanoseconds; and otherData."""
    trace = json.loads(text, parse_float=Decimal)
    for event in trace["traceEvents"]:
        for key in ("ts", "dur"):
            if key in event:
                ns = Decimal(event[key]) * 1000
                assert ns == int(ns) and ns >= 0, event
                event[key] = int(ns)
        if event["ph"] == "X":
            event["end"] = event["ts"] + event["dur"]
    return trace["traceEvents"], trace["otherData"]


def of(events, cat, **wanted):
    """The events of a category whose args have these values, by time."""
    return sorted((e for e in events if e.get("cat") == cat and
                   all(e["args"].get(k) == v for k, v in wanted.items())), key=lambda e: e["ts"])


def inside(inner, outer):
    return outer["ts"] <= inner["ts"] and inner["end"] <= outer["end"]


def check_nesting(events):
    """In one thread a slice lies beside another or within it."""
    lanes = {}
    for e in events:
        if e["ph"] == "X":
            lanes.setdefault((e["pid"], e["tid"]), []).append(e)
    for lane in lanes.values():
        stack = []
        for e in sorted(lane, key=lambda e: (e["ts"], -e["dur"])):
            while stack and stack[-1]["end"] <= e["ts"] and stack[-1]["end"] < e["end"]:
                stack.pop()
            assert not stack or inside(e, stack[-1]), (e, stack[-1])
            stack.append(e)


def check_names(events):
    """Each process and thread that is used has a name, once."""
    named = [(e["pid"], e["tid"]) for e in events if e["ph"] == "M" and e["name"] == "thread_name"]
    processes = [e["pid"] for e in events if e["ph"] == "M" and e["name"] == "process_name"]
    assert len(set(named)) == len(named) and len(set(processes)) == len(processes)
    for e in events:
        if e["ph"] != "M":
            assert (e["pid"], e["tid"]) in named and e["pid"] in processes, e


def check_flows(events):
    """Each arrow has two ends, each in a slice of its lane at that time."""
    ends = {}
    for e in events:
        if e["ph"] in "sf":
            ends.setdefault(e["id"], {})[e["ph"]] = e
            cat = "request" if e["ph"] == "s" else "command"
            key, number = cat, e["args"][cat]
            slices = of(events, key, **{key: number})
            assert len(slices) == 1 and (slices[0]["pid"], slices[0]["tid"]) == (e["pid"], e["tid"]), e
            assert slices[0]["ts"] <= e["ts"] <= slices[0]["end"], e
    assert all(sorted(two) == ["f", "s"] for two in ends.values())
    return {(two["s"]["args"]["request"], two["f"]["args"]["command"]) for two in ends.values()}


def check_layers(events):
    """What the disk driver sent the adapter driver had: the same CDB, within its time; the chip in it."""
    adapter = of(events, "adapter")
    for command in of(events, "command"):
        same = [a for a in adapter if a["args"]["cdb"] == command["args"]["cdb"] and inside(a, command)]
        assert same, command
    numbers = {a["args"]["command"]: a for a in adapter}
    for chip in of(events, "chip"):
        assert inside(chip, numbers[chip["args"]["command"]]), chip


def check_all(text):
    events, other = load(text)
    check_nesting(events)
    check_names(events)
    flows = check_flows(events)
    check_layers(events)
    return events, other, flows
