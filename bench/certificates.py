#!/usr/bin/python3
"""The certificate of the gradient over a training run, and the true error at its checkpoints, for several gradient methods.

  certificates.py [--program build/release/bin/zstar] [--experiment FILE] [--steps N] [--svg FILE] [-s section.key=value …]

Trains the experiment once with each method, a certificate every 1/60 of the way and a checkpoint every 1/30. Lines are the certificates that the runs
recorded, crosses the error of the gradient against the exact one by `zstar gradcheck` with the weights of each checkpoint. The picture is gnuplot's; its
script and data stay beside it. Prints, for each method, in how many checkpoints the certificate of the same weights and batch was above the error.
"""
import argparse
import json
import pathlib
import subprocess
import tempfile

methods = {  # [gradient] of the run, and the row of gradcheck
    'jacobian_free': ('{ name = "jacobian_free"', 'jacobian_free'),
    'phantom, 4 steps': ('{ name = "phantom", steps = [4]', 'phantom, steps = 4'),
    'neumann, 5 terms': ('{ name = "neumann"', 'neumann'),
    'shine': ('{ name = "shine"', 'shine'),
    'implicit by gmres': ('{ name = "implicit", solver = { name = "gmres", tolerance = 1e-5 }', 'implicit by gmres'),
}
ap = argparse.ArgumentParser(usage=__doc__)
ap.add_argument('--program', default='build/release/bin/zstar')
ap.add_argument('--experiment', default='experiments/quickstart.toml')
ap.add_argument('--steps', type=int, default=600, help='of one epoch each')
ap.add_argument('--svg', type=pathlib.Path, default=pathlib.Path('certificates.svg'))
ap.add_argument('-s', '--set', action='append', default=[])
args = ap.parse_args()
settings = ['solver = { name = "broyden", tolerance = 1e-5, max_evaluations = 60 }', *args.set, f'train.epochs = {args.steps}', f'train.log_every = {args.steps // 60}',
            f'train.eval_every = {args.steps // 30}', 'train.keep_last = 30']


def words(more):
    return [w for s in settings + more for w in ('-s', s.replace(' = ', '=', 1))]


def measured(gradient, row, folder):
    """[(step, certificate of the run)], [(step, true error, certificate of the same gradient)]"""
    subprocess.run([args.program, 'run', args.experiment, *words([f'gradient = {gradient}, certificate = {args.steps // 60} }}', f'experiment.runs = "{folder}"', 'experiment.name = "run"'])],
                   check=True, stdout=subprocess.DEVNULL)
    run = pathlib.Path(folder, 'run', 'latest').resolve()
    records = [json.loads(line) for line in open(run / 'metrics.jsonl')]
    line = [(r['step'], r.get('gradient_error_estimate') or r.get('gradient_error_bound')) for r in records if r['kind'] == 'train']
    crosses = []
    for checkpoint in sorted(run.glob('checkpoints/step-*.ckpt')):
        method = row.split(',')[0].split(' by ')[0]
        found = subprocess.run([args.program, 'gradcheck', str(run / 'experiment.toml'), '--checkpoint', str(checkpoint), '--only', method, '--solver', 'gmres', '--json'],
                               check=True, capture_output=True, text=True)
        of_method = next(r for r in json.loads(found.stdout)['rows'] if r['method'] == row)
        crosses.append((int(checkpoint.stem.split('-')[1]), of_method['error'], of_method['certificate']['relative_error']))
    return line, crosses


data, plots = '', []
for colour, (name, (gradient, row)) in zip(('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00'), methods.items()):
    with tempfile.TemporaryDirectory() as folder:
        line, crosses = measured(gradient, row, folder)
    for style, points in ((f"lines linewidth 1.5 linecolor '{colour}' title '{name}'", line), (f"points pointtype 2 pointsize 0.6 linecolor '{colour}' notitle", crosses)):
        plots.append(f"'{args.svg.stem}.dat' index {len(plots)} with {style}")
        data += f'# {name}\n' + ''.join(' '.join(f'{n:.6g}' for n in p) + '\n' for p in points if p[1]) + '\n\n'
    above = sum(certificate >= error for _, error, certificate in crosses)
    worst = min(certificate / error for _, error, certificate in crosses)
    print(f'{name:20} certificate above the true error at {above} of {len(crosses)} checkpoints; certificate / error at least {worst:.2f}', flush=True)
args.svg.with_suffix('.dat').write_text(data)
args.svg.with_suffix('.gp').write_text(f"set terminal svg size 760,400 font 'sans,11' background 'white'\nset output '{args.svg.name}'\nset grid linecolor '#dddddd'\nset border 3\nset tics nomirror\n"
                                       "set key outside noenhanced\nset logscale y\nset format y '10^{%T}'\nset xlabel 'step'\nset ylabel 'relative error of the gradient'\nplot " + ', '.join(plots) + '\n')
subprocess.run(['gnuplot', args.svg.with_suffix('.gp').name], cwd=args.svg.parent, check=True)
