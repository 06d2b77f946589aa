#!/usr/bin/python3
"""One workload of the zoo with TorchDEQ's published models: seconds of a training step and of an evaluation, evaluations of the map, peak memory.

  zoo_peer.py --torchdeq PATH NAME [--repeats N]

PATH is a checkout of TorchDEQ with its deq-zoo; the graphs need SciPy. Prints one line of JSON with the keys of bench_zoo. Sizes: bench/zoo. Usually started by
compare_torchdeq.py --zoo, which runs both sides in turn and has the allocator keep large blocks.
"""
import argparse
import importlib
import json
import os
import pathlib
import resource
import sys
import time
import types

ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
ap.add_argument('--torchdeq', required=True)
ap.add_argument('name')
ap.add_argument('--repeats', type=int, default=3)
options = ap.parse_args()

import torch
from torch import nn
from torch.nn import functional as F

torch.set_num_threads(1)
torch.manual_seed(0)
if torch.version.cuda is None:
    torch.version.cuda = '11.7'  # the zoo compares it with numbers when it is imported


def without(**unneeded):
    """Modules that published files import, but not for these workloads: empty ones where they are not at hand."""
    for name, contents in unneeded.items():
        try:
            importlib.import_module(name)
        except ImportError:
            sys.modules[name] = types.ModuleType(name)
            sys.modules[name].__dict__.update(contents)


without(termcolor={'colored': lambda s, *a, **k: s}, torch_sparse={}, networkx={}, sklearn={'metrics': None}, einops={'rearrange': None})
zoo = pathlib.Path(options.torchdeq, 'deq-zoo')
sys.path.insert(0, options.torchdeq)
import torchdeq
from torchdeq.loss import fp_correction
from torchdeq.utils import add_deq_args

calls = 0


def counted(function):
    def f(*args, **kwargs):
        global calls
        calls += 1
        return function(*args, **kwargs)
    return f


def settings(**chosen):
    parser = argparse.ArgumentParser()
    add_deq_args(parser)
    values = parser.parse_args([])
    for key, value in chosen.items():
        setattr(values, key, value)
    return values


def step(optimizer, parameters, loss, clip=None):
    optimizer.zero_grad()
    loss.backward()
    if clip:
        nn.utils.clip_grad_norm_(parameters, clip)
    optimizer.step()


def mdeq(channels, heads, final, tau, steps, batch):
    sys.path.insert(0, str(zoo / 'mdeq/mdeq_cifar/mdeq'))
    import models.mdeq as published
    n = len(channels)
    stage = {'NUM_MODULES': 1, 'NUM_BRANCHES': n, 'BLOCK': 'BASIC', 'HEAD_CHANNELS': heads, 'FINAL_CHANSIZE': final, 'NUM_BLOCKS': [1] * n, 'NUM_CHANNELS': channels, 'FUSE_METHOD': 'SUM'}
    config = {'MODEL': {'NUM_LAYERS': 10, 'NUM_CLASSES': 10, 'NUM_GROUPS': 8, 'DOWNSAMPLE_TIMES': 0, 'EXPANSION_FACTOR': 5, 'EXTRA': {'FULL_STAGE': stage}}}
    model = published.get_cls_net(config, settings(norm_type='weight_norm', f_solver='broyden', f_max_iter=steps, grad=[5], tau=tau, f_tol=0.0))
    model.full_stage.forward = counted(model.full_stage.forward)
    x, y = torch.randn(batch, 3, 32, 32), torch.randint(0, 10, (batch,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    return model, lambda: step(optimizer, None, fp_correction(F.cross_entropy, (model(x), y), gamma=0.8)), lambda: model(x)


def language_model(recurrent, implicit):
    sys.path.insert(0, str(zoo / ('deq-seq' if recurrent else 'deq-lm')))
    from models.deq_transformer import DEQTransformerLM
    if implicit:
        d = settings(f_solver='broyden', b_solver='broyden', ift=True, f_max_iter=12, b_max_iter=12, f_tol=0.0, b_tol=0.0, f_stop_mode='rel', b_stop_mode='rel')
    else:
        d = settings(f_solver='fixed_point_iter', f_stop_mode='rel', f_tol=0.0, f_max_iter=0, grad=[12], eval_f_max_iter=12)
    d.mem = False
    shared = dict(d_embed=256, tgt_len=64, mem_len=64, tie_weights=True, tie_projs=[False, True, True], div_val=2, cutoffs=[2000, 5000])
    if recurrent:
        model = DEQTransformerLM(d, 10000, 2, 24, 8, 256, 32, 1024, 0.05, 0.0, pre_lnorm=False, **shared)
    else:
        model = DEQTransformerLM(d, 10000, 2, 8, 256, 32, 1024, 0.05, 0.0, **shared)
        for p in model.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, 0, 0.01)
        torchdeq.norm.apply_norm(model.func, args=d)
    model.func.forward = counted(model.func.forward)
    data, target = torch.randint(0, 10000, (8, 64)), torch.randint(0, 10000, (8, 64))
    optimizer, memory, more = torch.optim.Adam(model.parameters(), lr=2.5e-4), [], {'compute_jac_loss': False} if recurrent else {}

    def train():
        nonlocal memory
        out = model(data, target, memory, **more)
        memory = out[-2]
        step(optimizer, model.parameters(), out[0].mean(), clip=0.25)
    return model, train, lambda: model(data, target, memory, **more)


def ignn(chains):
    sys.path.insert(0, str(zoo / 'ignn/nodeclassification'))
    quiet, sys.stdout = sys.stdout, open(os.devnull, 'w')
    if chains:
        from models_chains import IGNN
        classes, length, features = 5, 100, 100
        n = classes * 20 * length
        i = torch.arange(n)
        last = i % length == length - 1
        pairs = torch.cat([torch.stack([i, i]), torch.stack([i[~last], i[~last] + 1])], 1)
        scale = torch.where(last, 1.0, 2.0).rsqrt()
        adjacency = torch.sparse_coo_tensor(pairs, scale[pairs[0]] * scale[pairs[1]], (n, n)).coalesce()
        x, labels, first = torch.zeros(features, n), i // (n // classes), i[i % length == 0]
        x[labels[first], first] = 1.0
        model = IGNN(settings(norm_type='weight_norm', f_solver='fixed_point_iter', f_max_iter=40, f_tol=0.0, grad=[5], tau=0.5), features, 16, classes, n, 0.5, kappa=0.9)
        training = torch.randperm(n)[:100]
        radius, optimizer = 1.00001, torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)
        loss = lambda y: F.nll_loss(F.log_softmax(y, 1)[training], labels[training])
    else:
        from models_PPI import IGNN
        from utils import get_spectral_rad
        n, degree = 2000, 28
        pairs = torch.randint(0, n, (2, n * degree // 2))
        pairs = pairs[:, pairs[0] != pairs[1]]
        pairs = torch.unique(torch.cat([pairs, pairs.flip(0)], 1), dim=1)
        adjacency = torch.sparse_coo_tensor(pairs, torch.ones(pairs.shape[1]), (n, n)).coalesce()
        x, labels = torch.randn(50, n), (torch.rand(n, 121) < 0.3).float()
        model = IGNN(settings(norm_type='spectral_norm', norm_clip=True, f_solver='fixed_point_iter', f_max_iter=40, f_tol=0.0, grad=[5], tau=0.5), 50, 256, 121, None, 0.5, kappa=0.98)
        radius, optimizer = get_spectral_rad(adjacency), torch.optim.Adam(model.parameters(), lr=0.005)
        loss = lambda y: F.binary_cross_entropy_with_logits(y, labels)
    sys.stdout = quiet
    model.adj, model.adj_rho = adjacency, radius  # known, as in an epoch after the first
    for layer in model.modules():
        if type(layer).__name__ == 'ImplicitGraph':
            layer.deq.forward = (lambda solve: lambda f, z, **more: solve(counted(f), z, **more))(layer.deq.forward)
    return model, lambda: step(optimizer, None, loss(model(x, adjacency))), lambda: model(x, adjacency)


def flow():
    sys.path.insert(0, str(zoo / 'deq-flow'))
    without(scipy={'interpolate': None})
    from core.deq_flow import DEQFlow
    flags = dict(tiny=False, large=False, huge=False, gigantic=False, gma=False, mixed_precision=False, all_grad=True, old_version=False)
    model = DEQFlow(settings(norm_type='weight_norm', f_solver='fixed_point_iter', f_max_iter=12, f_tol=0.0, grad=[1], **flags))
    model.update_block.forward = counted(model.update_block.forward)
    images, truth, valid = [255 * torch.rand(1, 3, 368, 496) for _ in range(2)], torch.randn(1, 2, 368, 496), torch.ones(1, 368, 496)
    loss = lambda flows, truth, valid: ((flows[-1] - truth).abs().mul(valid[:, None]).mean(), {})
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-4, weight_decay=1e-4)
    published = sys.modules['core.deq_flow']
    published.process_metrics = lambda *unused: {}  # of a log
    return model, lambda: step(optimizer, model.parameters(), model(*images, truth, valid, loss)[0], clip=1.0), lambda: model(*images)


def representation():
    sys.path.insert(0, str(zoo / 'deq-inr'))
    sys.modules['modules.utils'] = types.SimpleNamespace(sql2_dist=None)  # for meshes, and the windows of another form
    from modules.models import DEQINR
    model = DEQINR(settings(norm_type='weight_norm', f_solver='fixed_point_iter', f_max_iter=10, f_tol=0.0, grad=[3]), 2, 256, 1, 256.0, filter_type='siren_like', n_layers=1)
    model.f.forward = counted(model.f.forward)
    x, y = 2 * torch.rand(128 * 128, 2) - 1, 2 * torch.rand(128 * 128, 1) - 1
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    return model, lambda: step(optimizer, None, (model(x)['output'] - y).square().mean()), lambda: model(x)


def diffusion(images):
    """The published network under TorchDEQ's Anderson; the joint map of a deterministic trajectory is written down here, as the sampler there is tied to other devices."""
    sys.path.insert(0, str(zoo / 'deq-ddim'))
    from models.diffusion import Model
    space = types.SimpleNamespace
    model = Model(space(model=space(type='simple', ch=128, out_ch=3, ch_mult=[1, 2, 2, 2], num_res_blocks=2, attn_resolutions=[16], dropout=0.1, in_channels=3, resamp_with_conv=True),
                        data=space(image_size=32), diffusion=space(num_diffusion_timesteps=1000)))
    solver = torchdeq.get_deq(settings(f_solver='anderson', f_max_iter=3, f_tol=0.0))
    bars = torch.cat([torch.ones(1), (1 - torch.linspace(1e-4, 0.02, 1000)).cumprod(0)])
    t = torch.arange(950, -1, -50)
    now, after = bars[t + 1], torch.cat([bars[t[1:] + 1], bars[:1]])
    column = lambda v: v.view(1, -1, 1, 1, 1)
    start, weight, total = column((after / now[0]).sqrt()), column(((1 - after).sqrt() - ((1 - now) * after / now).sqrt()) / after.sqrt()), column(after.sqrt())
    x = 2 * torch.rand(images, 3, 32, 32) - 1
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-4)

    def train():
        at, noise = torch.randint(0, 1000, (images,)), torch.randn_like(x)
        bar = bars[at + 1].view(-1, 1, 1, 1)
        step(optimizer, model.parameters(), (noise - model(bar.sqrt() * x + (1 - bar).sqrt() * noise, at.float())).square().sum((1, 2, 3)).mean(), clip=1.0)

    def sample():
        last = torch.randn(images, 3, 32, 32)

        @counted
        def f(z):
            before = torch.cat([last[:, None], z.view(images, 20, 3, 32, 32)[:, :-1]], 1).flatten(0, 1)
            terms = weight * model(before, t.float().repeat(images)).view(images, 20, 3, 32, 32)
            return (start * last[:, None] + total * terms.cumsum(1)).flatten(0, 1)
        solver.eval()
        solver(f, last.repeat_interleave(20, 0))
    return model, train, sample


workloads = {
    'deq_flow': flow,
    'deq_inr': representation,
    'deq_ddim_1': lambda: diffusion(1),
    'deq_ddim_8': lambda: diffusion(8),
    'mdeq_small': lambda: mdeq([24, 24], [8, 16], 200, 0.5, 22, 16),
    'mdeq_large': lambda: mdeq([32, 64, 128, 256], [14, 28, 56, 112], 1680, 0.7, 18, 8),
    'deq_lm': lambda: language_model(recurrent=False, implicit=False),
    'deq_lm_ift': lambda: language_model(recurrent=False, implicit=True),
    'deq_seq_ift': lambda: language_model(recurrent=True, implicit=True),
    'ignn_chains': lambda: ignn(chains=True),
    'ignn_ppi': lambda: ignn(chains=False)}
if options.name not in workloads:
    sys.exit(f"zoo_peer: error: no workload '{options.name}'\n  expected: {', '.join(workloads)}")
model, train, evaluate = workloads[options.name]()
row = {'name': options.name, 'params': sum(p.numel() for p in model.parameters() if p.requires_grad)}
for what, run in (('train', train), ('eval', evaluate)):
    model.train(what == 'train')
    seconds, processor = [], []
    with torch.set_grad_enabled(what == 'train'):
        for k in range(1 + options.repeats):
            calls = 0
            start, ticks = time.perf_counter(), time.process_time()
            run()
            if k > 0:  # the first call warms
                seconds.append(time.perf_counter() - start)
                processor.append(time.process_time() - ticks)
    row[what + '_s_median'], row[what + '_s_min'], row[what + '_cpu_s_min'] = sorted(seconds)[len(seconds) // 2], min(seconds), min(processor)
    row[what + '_f_calls'], row[what + '_peak_rss_mb'] = calls, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(json.dumps(row))
