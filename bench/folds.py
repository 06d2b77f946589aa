#!/usr/bin/python3
"""Accuracy over folds by several rules of selection, from the evaluations that runs recorded.

  folds.py RUN …

RUN is a run folder, one for each fold (or split, or seed). Rules: the evaluation of the highest validation accuracy, ties to the lower validation loss; the
same evaluation for all folds, that of the highest mean validation accuracy; and the rule of some published numbers, the best test accuracy of each
fold, which looks at the test data and is all that runs without a validation split have. Mean ± standard deviation over the runs.
"""
import argparse
import json
import pathlib
import statistics
import sys


def evaluations(run):
    """[{split: its record}] of the evaluations that tested, in the order of the steps."""
    by_step = {}
    metrics = pathlib.Path(run, 'metrics.jsonl')
    if not metrics.is_file():
        sys.exit(f"folds: error: '{run}' is no run folder: it holds no metrics.jsonl\n  remedy: name folders that 'zstar run' made")
    for line in metrics.open():
        record = json.loads(line)
        if record['kind'] in ('validation', 'test'):
            by_step.setdefault(record['step'], {})[record['kind']] = record
    return [records for _, records in sorted(by_step.items()) if 'test' in records]


ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage=argparse.SUPPRESS)
ap.add_argument('runs', nargs='+', metavar='RUN', help='run folder')
names = ap.parse_args().runs
runs = [evaluations(run) for run in names]
for run, rows in zip(names, runs):
    if not rows:
        sys.exit(f"folds: error: {run} has no evaluation of a test split\n  remedy: name run folders of data sets with one")
validated = {'validation' in row for rows in runs for row in rows}
if len(validated) > 1:
    sys.exit("folds: error: some of these runs have a validation split and others have none\n  remedy: name runs of one experiment")


def test(row):
    return row['test']['accuracy']


rules = {}
if validated == {True}:
    common = max(range(min(len(rows) for rows in runs)), key=lambda k: statistics.fmean(rows[k]['validation']['accuracy'] for rows in runs))
    best = [max(rows, key=lambda row: (row['validation']['accuracy'], -row['validation']['loss'])) for rows in runs]
    rules['validation accuracy of each fold, ties by loss'] = [test(row) for row in best]
    rules['one evaluation for all folds, by mean validation accuracy'] = [test(rows[common]) for rows in runs]
rules['best test accuracy of each fold'] = [max(test(row) for row in rows) for rows in runs]
for rule, accuracies in rules.items():
    print(f'{rule:58} {100 * statistics.fmean(accuracies):5.1f} ± {100 * statistics.pstdev(accuracies):4.1f} %   ({len(runs)} runs)')
