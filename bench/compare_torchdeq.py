#!/usr/bin/python3
"""Times TorchDEQ's solvers beside ours on the solver workloads, sides alternating in one run, one thread; the allocator of TorchDEQ's side keeps large blocks.
Times are of the processor.

  compare_torchdeq.py --torchdeq PATH [--program build/release/bin/bench_overhead] [--repeats N] [--least] [--memory] [--json]
  compare_torchdeq.py --torchdeq PATH --zoo [NAME …] [--rounds N]     models of the zoo: a training step, an evaluation, peak memory

PATH is a checkout of TorchDEQ. Python's torch should be of the same LibTorch that zstar was built with (Debian: python3-torch).
Prints TorchDEQ's total divided by ours for each solver and workload (medians of the ratios of neighbouring runs; with --least
the ratio of the least times, for a machine that does other work as well); with --memory also
the growth of the peak of both processes in 40 Broyden steps on (32, 100000). With --zoo, every workload of bench/zoo in processes of its
own, sides alternating, and a line of a table: least seconds of the processor of all rounds.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

allocator = {'MALLOC_MMAP_THRESHOLD_': '33554432', 'MALLOC_TRIM_THRESHOLD_': '4294967296', 'MALLOC_TOP_PAD_': '268435456',
             'GLIBC_TUNABLES': 'glibc.malloc.hugetlb=1'}
ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
ap.add_argument('--torchdeq', required=True)
ap.add_argument('--program', default=str(pathlib.Path(__file__).resolve().parent.parent / 'build/release/bin/bench_overhead'))
ap.add_argument('--repeats', type=int, default=0, help='0: enough for each workload')
ap.add_argument('--only', help='one workload')
ap.add_argument('--least', action='store_true', help='ratio of the least times')
ap.add_argument('--memory', action='store_true')
ap.add_argument('--peer-memory', action='store_true', help=argparse.SUPPRESS)
ap.add_argument('--json', action='store_true')
ap.add_argument('--zoo', nargs='*', metavar='NAME', help='workloads of bench/zoo; without a name all of them')
ap.add_argument('--rounds', type=int, default=3)
args = ap.parse_args()
if not args.peer_memory and os.environ.get('MALLOC_MMAP_THRESHOLD_') is None:  # read once, when a process starts
    os.execve(sys.executable, [sys.executable] + sys.argv, {**os.environ, **allocator, 'OMP_NUM_THREADS': '1', 'OPENBLAS_NUM_THREADS': '1'})
if not pathlib.Path(args.torchdeq, 'torchdeq').is_dir():
    sys.exit(f"compare_torchdeq: error: '{args.torchdeq}' holds no folder 'torchdeq'\n  remedy: give a checkout of TorchDEQ")
sys.path.insert(0, args.torchdeq)


def built(program):
    """The path of a program of this tree, which has to be there."""
    path = pathlib.Path(program)
    if not path.is_file():
        sys.exit(f"compare_torchdeq: error: there is no program '{path}'\n  remedy: ninja -C {path.parent.parent} {path.name} builds it")
    return str(path)


def compare_zoo(names):
    here = pathlib.Path(__file__).resolve().parent
    peer = [sys.executable, str(here / 'zoo_peer.py'), '--torchdeq', args.torchdeq]
    mine = [built(here.parent / 'build/release/bin/bench_zoo')]
    print('| workload | train, TorchDEQ / zstar (s) | evaluation | peak MB, zstar and TorchDEQ | evaluations of the map, train and evaluation |\n|---|---|---|---|---|')
    for name in names:
        plain = name.removesuffix('_bf16').removesuffix('_lean')  # TorchDEQ has neither
        rounds = [[json.loads(subprocess.check_output(side, text=True).splitlines()[-1]) for side in (peer + [plain], mine + [name])] for _ in range(args.rounds)]
        least = lambda side, key: min(r[side][key] for r in rounds)
        cells = []
        for what in ('train', 'eval'):
            theirs, ours = least(0, what + '_cpu_s_min'), least(1, what + '_cpu_s_min')
            cells.append(f'{theirs:.3g} / {ours:.3g} = {theirs / ours:.2f}')
        memory = [least(side, 'train_peak_rss_mb') for side in (1, 0)]
        calls = ['{} and {}'.format(*(rounds[0][side][what + '_f_calls'] for what in ('train', 'eval'))) for side in (1, 0)]
        if rounds[0][0]['params'] != rounds[0][1]['params']:
            sys.exit(f"compare_torchdeq: error: {name} has {rounds[0][1]['params']} parameters here, {rounds[0][0]['params']} there")
        print(f"| {name} | {cells[0]} | {cells[1]} | {memory[0]}, {memory[1]} ({100 * memory[0] / memory[1]:.0f} %) | {calls[0]}; TorchDEQ {calls[1]} |", flush=True)


if args.zoo is not None:
    compare_zoo(args.zoo or ['mdeq_small', 'mdeq_small_bf16', 'mdeq_small_lean', 'mdeq_large', 'mdeq_large_bf16', 'mdeq_large_lean', 'deq_lm', 'deq_lm_ift', 'deq_seq_ift', 'ignn_chains', 'ignn_ppi',
                                'deq_flow', 'deq_flow_lean', 'deq_inr', 'deq_inr_lean', 'deq_ddim_1', 'deq_ddim_8', 'deq_ddim_8_lean'])
    sys.exit()

import torch
from torchdeq.solver import get_solver

torch.set_num_threads(1)
torch.manual_seed(0)
evaluations = 30
peers = {'fixed_point': ('fixed_point_iter', {}), 'anderson': ('anderson', {'m': 6}), 'broyden': ('broyden', {})}


def dense(batch, width):
    a = torch.randn(width, width) * (0.8 / width ** 0.5)
    c = torch.randn(batch, width)
    return (lambda z, tau=1.0: torch.tanh(torch.addmm(c, z, a))), torch.zeros(batch, width)


def conv(batch, channels, side):
    k = torch.randn(channels, channels, 3, 3) * (0.5 / (9 * channels) ** 0.5)
    c = torch.randn(batch, channels, side, side)
    return (lambda z, tau=1.0: torch.tanh(torch.conv2d(z, k, None, 1, 1) + c)), torch.zeros(batch, channels, side, side)


workloads = [('tiny', dense(1, 64), 60), ('small', dense(32, 256), 20), ('medium', dense(64, 1024), 5), ('conv', conv(32, 30, 32), 3)]


def peak_kilobytes():
    for line in open('/proc/self/status'):
        if line.startswith('VmHWM'):
            return int(line.split()[1])


def peer_memory():
    c, d = torch.randn(32, 100000), torch.linspace(-0.9, 0.9, 100000)
    f, z0 = (lambda z, tau=1.0: torch.tanh(z * d + c)), torch.zeros(32, 100000)
    with torch.no_grad():
        get_solver('fixed_point_iter')(f, z0, max_iter=2, tol=0)
        before = peak_kilobytes()
        get_solver('broyden')(f, z0, max_iter=40, tol=0)
    return peak_kilobytes() - before


def median(values):
    return sorted(values)[len(values) // 2]


if args.peer_memory:
    print(peer_memory())
    sys.exit()
table = {solver: {} for solver in peers}
ours = subprocess.Popen([built(args.program), '--serve'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def our_microseconds(workload, solver):
    ours.stdin.write(f'{workload} {solver}\n')
    ours.stdin.flush()
    return float(ours.stdout.readline())


with torch.no_grad():
    for name, (f, z0), repeats in workloads:
        if args.only and name != args.only:
            continue
        for solver, (peer, options) in peers.items():
            solve, pairs = get_solver(peer), []
            for k in range(1 + (args.repeats or repeats)):
                start = time.process_time()
                solve(f, z0, max_iter=evaluations, tol=0, **options)
                theirs = (time.process_time() - start) * 1e6
                mine = our_microseconds(name, solver)
                if k > 0:  # the first pair warms
                    pairs.append((theirs, mine))
            least = [min(side) for side in zip(*pairs)]
            table[solver][name] = round(least[0] / least[1] if args.least else median([theirs / mine for theirs, mine in pairs]), 2)
            if not args.json:
                print(f'{name:8} {solver:12} TorchDEQ / zstar = {table[solver][name]:7.2f}   ({len(pairs)} pairs, LibTorch {torch.__version__})', flush=True)
ours.stdin.close()
ours.wait()
if args.memory:
    plain = {k: v for k, v in os.environ.items() if k not in allocator}
    mine = int(subprocess.check_output([args.program, '--memory', 'broyden'], text=True, env=plain))
    theirs = int(subprocess.check_output([sys.executable, __file__, '--torchdeq', args.torchdeq, '--peer-memory'], text=True,
                                         env={**plain, 'MALLOC_MMAP_THRESHOLD_': '131072'}))
    table['memory'] = {'zstar_kB': mine, 'torchdeq_kB': theirs, 'ratio': round(mine / theirs, 3)}
    if not args.json:
        print(f'memory   broyden      zstar {mine} kB, TorchDEQ {theirs} kB, ratio {mine / theirs:.3f}')
if args.json:
    print(json.dumps(table))
