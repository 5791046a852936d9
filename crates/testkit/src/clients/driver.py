"""Runs prelude.py, example.py and epilogue.py of a folder in one namespace, and writes report.json: which lines of the
example were executed, what it raised, and what the epilogue left in `keyward_result`. The example is run as it stands."""

import json
import os
import sys

folder = sys.argv[1]
example = os.path.join(folder, "example.py")
namespace = {"__name__": "__main__"}
executed = set()
report = {"error": None}


def run(path):
    with open(path, encoding="utf-8") as file:
        exec(compile(file.read(), path, "exec"), namespace)


def trace(frame, event, _):
    if frame.f_code.co_filename != example:
        return None
    if event == "line":
        executed.add(frame.f_lineno)
    return trace


run(os.path.join(folder, "prelude.py"))
sys.settrace(trace)
try:
    run(example)
except Exception as error:
    report["error"] = {"type": type(error).__name__, "message": str(error)}
run(os.path.join(folder, "epilogue.py"))
sys.settrace(None)

report["lines"] = sorted(executed)
report["result"] = namespace.get("keyward_result")
with open(os.path.join(folder, "report.json"), "w", encoding="utf-8") as file:
    json.dump(report, file)
