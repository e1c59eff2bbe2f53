#!/usr/bin/env python3
"""Reads the JUnit reports of one test run, prints failures and skips with their reasons, then the counting line.

Called by test.sh. A suite whose program ended badly although its report has no failure (it crashed, or made no report)
counts as one failed test. The exit status is 1 when anything failed.
"""

import argparse
import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree

# pytest's "no tests collected"
NO_TESTS = 5


def reason_of(case, skipped):
    """Why a test was skipped: gtest says it on its output, pytest in the message."""
    output = case.findtext("system-out") or ""
    said = re.search(r"Skipped\n(.+?)\n*(?=\[  SKIPPED \])", output, re.DOTALL)
    if said:
        return " ".join(said.group(1).split())
    text = skipped.get("message") or (skipped.text or "").strip() or "no reason given"
    return " ".join(text.split())


def name_of(case):
    group = case.get("classname") or ""
    name = case.get("name") or "?"
    return name if not group or group == name else f"{group}.{name}"


def read_report(path):
    """(passed, failed names, [(skipped name, reason)]) of one report."""
    passed, failed, skipped = 0, [], []
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None or case.get("status") == "fail":
            failed.append(name_of(case))
        elif skip is not None or case.get("status") in ("disabled", "notrun"):
            reason = reason_of(case, skip) if skip is not None else "disabled"
            skipped.append((name_of(case), reason))
        else:
            passed += 1
    return passed, failed, skipped


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--broken", type=int, default=0, help="steps that failed outside of any suite")
    parser.add_argument("results", type=pathlib.Path)
    arguments = parser.parse_args()

    passed, failed, skipped = 0, [], []
    failed += [f"step {number + 1} that tests need (see above)" for number in range(arguments.broken)]
    failing_suites = set()
    for report in sorted(arguments.results.glob("*.xml")):
        suite = re.sub("^unit-release$", "unit", report.stem)
        try:
            one_passed, one_failed, one_skipped = read_report(report)
        except ElementTree.ParseError as error:
            one_passed, one_failed, one_skipped = 0, [f"{suite}: unreadable report: {error}"], []
        passed += one_passed
        failed += one_failed
        skipped += one_skipped
        if one_failed:
            failing_suites.add(suite)
    for status_file in sorted(arguments.results.glob("*.status")):
        status = int(status_file.read_text())
        if status not in (0, NO_TESTS) and status_file.stem not in failing_suites:
            failed.append(f"{status_file.stem}: the suite ended with status {status}")

    for name, reason in skipped:
        print(f"skipped: {name}: {reason}")
    for name in failed:
        print(f"FAILED: {name}")
    print(f"{passed} passed, {len(failed)} failed, {len(skipped)} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
