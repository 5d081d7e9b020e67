"""ONNX's own operator suite on the Myriad X: how many of its float cases come out right, and how the others end.

    python benchmarks/onnx_suite.py [PATTERN…] [--list END…] [--at-once 4] [--cache DIR] [--json FILE]

Every case goes the product's own way: rewritten to a device graph, rounded to FP16, compiled with FP16 in and out for 4
SHAVEs, executed by the simulator, and compared with the outputs that the suite expects (``operator_cases`` says how).
Four compilers run side by side: each waits some four seconds while it looks for devices. What the compiler made of a
device graph is kept in the cache, so a run that is ended goes on where it was, and a second one takes a minute.

Exit code: 1 if a case compiles and computes something else, 0 otherwise.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from operator_cases import Case, Compilations, End, Verdict, cases, counted, crashed, judge

from oakpoint.files import default_cache


def measured(selected: list[Case], compilations: Compilations, at_once: int) -> list[Verdict]:
    """The verdict on every case, in the order of their names; progress goes to standard error."""
    verdicts: list[Verdict] = []
    with ThreadPoolExecutor(at_once) as pool:
        pending = {pool.submit(judge, case, compilations): case for case in selected}
        try:
            for done in as_completed(pending):
                error = done.exception()
                verdicts.append(crashed(pending[done], error) if error else done.result())
                if len(verdicts) % 20 == 0 or len(verdicts) == len(selected):
                    print(f"{len(verdicts)} of {len(selected)} cases", file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            print("ended; the next run goes on from here", file=sys.stderr)
            raise
    return sorted(verdicts, key=lambda verdict: verdict.case)


def print_table(verdicts: list[Verdict]) -> None:
    """Cases of each end."""
    for end, count in counted(verdicts).items():
        print(f"{count:5}  {end.value:40} {end.name.lower()}")
    print(f"{len(verdicts):5}  in all")


def print_cases(verdicts: list[Verdict], ends: list[str]) -> None:
    """Every case of some ends, with the reason."""
    for end in End:
        if end.name.lower() in ends:
            print(f"\n{end.value}:")
            for verdict in verdicts:
                if verdict.end is end:
                    print(f"  {verdict.case:50} {verdict.reason}")


def main() -> int:
    """Measure, print, and say whether anything is silently wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="names of cases (conv*), or an operator (Conv)")
    names = [end.name.lower() for end in End]
    parser.add_argument("--list", nargs="+", default=[], choices=[*names, "all"], metavar="END", dest="listed",
                        help=f"list the cases of these ends: {', '.join(names)}, or all")  # fmt: skip
    parser.add_argument("--at-once", type=int, default=4, help="compilers side by side (default 4)")
    parser.add_argument(
        "--cache", type=Path, default=default_cache() / "onnx-suite", help="where compilations are kept"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every verdict there")
    options = parser.parse_args()
    wanted = options.patterns
    selected = [
        case
        for case in cases()
        if not wanted or any(fnmatch.fnmatch(case.name, p) or p in case.operators for p in wanted)
    ]
    if not selected:
        parser.error(f"no case is called {' or '.join(wanted)}")
    try:
        verdicts = measured(selected, Compilations(options.cache), options.at_once)
    except KeyboardInterrupt:
        return 130
    print_table(verdicts)
    print_cases(verdicts, names if "all" in options.listed else options.listed)
    if options.json:
        rows = [{**vars(v), "end": v.end.name.lower()} for v in verdicts]
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 1 if any(verdict.end is End.WRONG for verdict in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
