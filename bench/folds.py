#!/usr/bin/python3
"""Accuracy over folds by several rules of selection, from the evaluations that runs recorded.

  folds.py RUN …

RUN is a run folder, one for each fold (or split, or seed). Rules: the evaluation of the highest validation accuracy, ties to the lower validation loss; the
same evaluation for all folds, that of the highest mean validation accuracy; and the rule of some published numbers, the best test accuracy of each
fold, which looks at the test data. Mean ± standard deviation over the runs.
"""
import argparse
import json
import pathlib
import statistics
import sys


def evaluations(run):
    """[(validation accuracy, validation loss, test accuracy)] in the order of the steps."""
    by_step = {}
    metrics = pathlib.Path(run, 'metrics.jsonl')
    if not metrics.is_file():
        sys.exit(f"folds: error: '{run}' is no run folder: it holds no metrics.jsonl\n  remedy: name folders that 'zstar run' made")
    for line in metrics.open():
        record = json.loads(line)
        if record['kind'] in ('validation', 'test'):
            by_step.setdefault(record['step'], {})[record['kind']] = record
    return [(r['validation']['accuracy'], r['validation']['loss'], r['test']['accuracy']) for _, r in sorted(by_step.items()) if len(r) == 2]


ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage=argparse.SUPPRESS)
ap.add_argument('runs', nargs='+', metavar='RUN', help='run folder')
names = ap.parse_args().runs
runs = [evaluations(run) for run in names]
for run, rows in zip(names, runs):
    if not rows:
        sys.exit(f"folds: error: {run} has no evaluation of both validation and test\n  remedy: name run folders of data sets with both splits")
shared = range(min(len(rows) for rows in runs))
common = max(shared, key=lambda k: statistics.fmean(rows[k][0] for rows in runs))
rules = {'validation accuracy of each fold, ties by loss': [max(rows, key=lambda r: (r[0], -r[1]))[2] for rows in runs],
         'one evaluation for all folds, by mean validation accuracy': [rows[common][2] for rows in runs],
         'best test accuracy of each fold': [max(r[2] for r in rows) for rows in runs]}
for rule, accuracies in rules.items():
    print(f'{rule:58} {100 * statistics.fmean(accuracies):5.1f} ± {100 * statistics.pstdev(accuracies):4.1f} %   ({len(runs)} runs)')
