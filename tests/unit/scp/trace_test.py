#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The trace of known things on the deterministic host: slices, nesting, arguments, exact durations.

  trace_test.py TRACE_MAKE
"""
import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import trace_check as tc  # noqa: E402

MS = 1000000  # what one command takes


def made(*how):
    return subprocess.run([sys.argv[1], *how], check=True, stdout=subprocess.PIPE, text=True).stdout


def one(found):
    assert len(found) == 1, found
    return found[0]


def test_one_write(events, flows):
    command = one(tc.of(events, "command", lba=16))
    request = one(tc.of(events, "request", blkno=16))
    args = command["args"]
    assert command["name"] == "WRITE 16+8" and command["dur"] == MS, command
    assert args["cdb"] == "0a0000100800" and args["opcode"] == 0x0a and args["blocks"] == 8, args
    assert args["bytes"] == 4096 and args["requests"] == 1, args
    assert args["errno"] == 0 and args["resid"] == 0 and args["in"] is False, args
    assert args["status"] == [0, 0, 0, 0] and args["tag"] == 0x20, args
    assert request["name"] == "write 16" and request["dur"] == MS, request
    assert request["args"]["bytes"] == 4096, request
    assert (request["args"]["request"], args["command"]) in flows
    adapter = one([a for a in tc.of(events, "adapter", lba=16)])
    chip = one(tc.of(events, "chip", command=adapter["args"]["command"]))
    assert adapter["dur"] == MS and chip["dur"] == MS and chip["args"]["pending"] is True, (adapter, chip)
    assert chip["args"]["result"] == 0 and chip["tid"] == adapter["tid"], chip


def test_four_requests_in_one(events, flows):
    command = one(tc.of(events, "command", lba=128))
    assert command["args"]["blocks"] == 32 and command["args"]["requests"] == 4, command
    assert command["dur"] == MS, command
    carried = [r for r, c in flows if c == command["args"]["command"]]
    requests = [e for e in tc.of(events, "request") if e["args"]["request"] in carried]
    assert sorted(r["args"]["blkno"] for r in requests) == [128, 136, 144, 152], requests
    assert len({r["tid"] for r in requests}) == 4, requests
    assert all(tc.inside(command, r) for r in requests), requests


def test_an_error_and_its_recovery(events, flows):
    first, second = tc.of(events, "command", lba=1000)
    request = one(tc.of(events, "request", blkno=1000))
    sense = one([c for c in tc.of(events, "command", opcode=3) if first["end"] <= c["ts"] <= second["ts"]])
    assert first["args"]["errno"] == 5 and first["args"]["status"][:2] == [1, 2], first
    assert second["args"]["errno"] == 0 and sense["name"] == "REQUEST SENSE", (second, sense)
    assert sense["args"]["requests"] == 0, sense
    assert not [c for r, c in flows if c == sense["args"]["command"]], sense
    assert {c for r, c in flows if r == request["args"]["request"]} == \
        {first["args"]["command"], second["args"]["command"]}
    assert tc.inside(first, request) and tc.inside(second, request) and request["args"]["errno"] == 0, request
    rule = one([i for i in tc.of(events, "recovery") if "rule" in i["args"]])
    assert rule["name"] == "medium error: retried" and rule["args"]["sense"] == "3/11/00", rule
    assert rule["args"]["command"] == first["args"]["command"], rule
    assert first["args"]["in"] is True and sense["args"]["in"] is True, (first, sense)
    assert rule["ph"] == "i" and rule["ts"] == sense["end"] and rule["args"]["errno"] == 0, rule
    states = [i["name"] for i in tc.of(events, "recovery") if "state" in i["args"]]
    assert states == ["recovery: begins", "recovery: request sense", "recovery: resume queue",
                      "recovery: over"], states
    queue = [i["name"] for i in tc.of(events, "queue")]
    assert queue == ["queue kept", "queue recovery", "queue recovered", "queue running"], queue
    adapter = [a for a in tc.of(events, "adapter") if a["name"] == "READ 1000+8"]
    assert [a["args"]["errno"] for a in adapter] == [5, 0], adapter
    chips = [one(tc.of(events, "chip", command=a["args"]["command"])) for a in adapter]
    assert chips[0]["args"]["scsi_status"] == 2 and chips[1]["args"]["scsi_status"] == 0, chips


def test_two_at_once_have_lanes_of_their_own(events, _flows):
    a, b = one(tc.of(events, "command", lba=4096)), one(tc.of(events, "command", lba=8192))
    assert a["tid"] != b["tid"] and a["ts"] == b["ts"] and a["dur"] == b["dur"] == MS, (a, b)


def test_refused_ones_and_those_still_running(events, flows):
    past = one([r for r in tc.of(events, "request") if r["args"].get("errno")])
    assert past["dur"] == 0 and past["args"]["errno"] == 6, past  # ENXIO
    assert not [c for r, c in flows if r == past["args"]["request"]]
    for cat in ("request", "command", "adapter"):
        running = one(tc.of(events, cat, unfinished=True))
        assert "errno" not in running["args"] and "status" not in running["args"], running
    chip = [c for c in tc.of(events, "chip") if "result" not in c["args"]]
    assert len(chip) == 1, chip


def main():
    events, other, flows = tc.check_all(made())
    assert other["lost"] == 0 and other["running"] is False and other["records"] > 50, other
    names = {e["args"]["name"] for e in events if e["ph"] == "M" and e["name"] == "process_name"}
    assert names == {"hdisk0", "scsi0 0,0 (hdisk0)"}, names
    for name, test in sorted(globals().items()):
        if name.startswith("test_"):
            test(events, flows)
            print(f"ok   {name}")
    assert tc.load(made())[0] == events, "the same run twice is not the same trace"
    # A ring that holds the end only: no slice without its begin, and it says how much is missing.
    events, other, flows = tc.check_all(made("lost"))
    assert other["lost"] == other["records"] - 64 > 0, other
    assert not tc.of(events, "command", lba=16) and one(tc.of(events, "command", unfinished=True))
    print("ok   lost records")
    # An address that is given again before the end of what had it was seen: that one has no slice.
    events, other, flows = tc.check_all(made("again"))
    request = one(tc.of(events, "request"))
    assert request["args"]["blkno"] == 16 and "unfinished" not in request["args"], request
    print("ok   an address given again")


if __name__ == "__main__":
    main()
