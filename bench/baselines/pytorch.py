#!/usr/bin/env python3
"""The networks in PyTorch, measured as fer-bench measures ours: the same steps, batches, devices, the same rows.

    python -m venv pytorch && pytorch/bin/pip install torch numpy
    pytorch/bin/python bench/baselines/pytorch.py --models simpler_cnn --batch 64 --duration 3 --json pytorch.json

A step gathers its batch from uint8 images that lie on the device, rescales and, with --augment, moves it; then the network
with dropout, the loss, its gradients and Adam: epsilon 1e-7 (PyTorch's placement of it), fused, L2 as weight decay of the
kernels that have it. Channels last, and on the CPU the other layout too, of which the faster counts. On cuda bf16 autocast,
cuDNN's search over all engines, TF32 for what is left in float32. --mode:

    eager       every operation by itself
    compiled    torch.compile(max-autotune-no-cudagraphs) of images to loss
    captured    the same, and the whole step as one CUDA graph
"""

import json
import math
import os
import sys
import time

import measuring

# Without these glibc maps and unmaps every activation, step after step, and the kernel zeroes its pages each time:
# simpler_cnn trained at 259 images/s, with them at 400 (2 cores of an EPYC with AVX-512, PyTorch 2.15, November 2026).
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "1000000000000"}
BATCHES = 4  # of images to go round on the CPU; on cuda as many as FER2013 has
TRAINING_IMAGES = 28_709


def module_of(model):
    if model in measuring.TRANSFER:
        import transfer_pytorch
        return transfer_pytorch.build(model), []
    sys.path.insert(0, str(measuring.GOLDEN))
    import networks_pytorch
    module, tensors = networks_pytorch.build(model, dropout=True, inplace=True)
    return module, [t.value for t in tensors if t.l2]


def augmented(x, torch):
    """Rotation by 10 degrees, shifts and zoom by a tenth, flips: one affine map per image."""
    count = x.shape[0]
    draw = lambda low, high: torch.empty(count, device=x.device).uniform_(low, high)
    angle, zoom = draw(-math.pi / 18, math.pi / 18), draw(0.9, 1.1)
    flip = torch.where(draw(0, 1) < 0.5, -1.0, 1.0)
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    rows = [torch.stack([cos * flip, -sin, 2 * draw(-0.1, 0.1)], 1), torch.stack([sin * flip, cos, 2 * draw(-0.1, 0.1)], 1)]
    grid = torch.nn.functional.affine_grid(torch.stack(rows, 1), list(x.shape), align_corners=False)
    return torch.nn.functional.grid_sample(x, grid, padding_mode="border", align_corners=False)


class Bench:
    """One case, ready to step."""

    def __init__(self, arguments, model, phase, batch, mode, layout):
        import torch
        from torch.nn import functional
        self.torch, self.batch, self.done = torch, batch, 0
        torch.manual_seed(1)
        torch.set_num_threads(arguments.threads)
        cuda = arguments.device == "cuda"
        if cuda:
            torch.backends.cudnn.benchmark = True
            torch.backends.cudnn.benchmark_limit = 0
            torch.set_float32_matmul_precision("high")
        device = torch.device(arguments.device)
        memory_format = torch.channels_last if layout == "nhwc" else torch.contiguous_format
        module, regularized = module_of(model)
        module = module.to(device=device, memory_format=memory_format)
        module.train(phase == "train")
        trained = [p for p in module.parameters() if p.requires_grad]
        decayed = [p for p in trained if any(p is r for r in regularized)]
        others = [p for p in trained if all(p is not r for r in regularized)]
        groups = [{"params": others}] + ([{"params": decayed, "weight_decay": 2 * measuring.L2}] if decayed else [])
        rate = torch.tensor(1e-4, device=device) if cuda else 1e-4
        self.optimizer = torch.optim.Adam(groups, lr=rate, eps=1e-7, fused=True, capturable=cuda)
        size, channels = measuring.side(model)
        count = max(BATCHES * batch, TRAINING_IMAGES) if cuda else BATCHES * batch
        images = torch.randint(0, 256, (count, 1, 48, 48), dtype=torch.uint8, device=device)
        labels = torch.randint(measuring.CLASSES, (count,), device=device)
        self.order = torch.arange(count, device=device)
        self.index = torch.zeros(batch, dtype=torch.long, device=device)

        def prepared(index):
            x = images[index].float() / 255
            if arguments.augment and phase == "train":
                x = augmented(x, torch)
            if size != 48:
                x = functional.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)
            x = x.expand(-1, channels, -1, -1)
            return x.contiguous(memory_format=memory_format)

        def run(index):
            with torch.autocast(arguments.device, torch.bfloat16, enabled=arguments.precision == "bf16", cache_enabled=False):
                logits = module(prepared(index))
            if phase == "infer":
                return torch.softmax(logits.float(), 1)
            return functional.cross_entropy(logits.float(), labels[index])

        if mode != "eager":
            import torch._inductor.config as inductor
            inductor.coordinate_descent_tuning = cuda
            run = torch.compile(run, mode="max-autotune-no-cudagraphs" if cuda else "default", fullgraph=True)

        def train():
            self.optimizer.zero_grad(set_to_none=True)
            loss = run(self.index)
            loss.backward()
            self.optimizer.step()

        def infer():
            with torch.inference_mode():
                run(self.index)

        self.once = train if phase == "train" else infer
        if mode == "captured":
            self.once = self.captured(self.once)

    def captured(self, once):
        torch = self.torch
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(11):
                once()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            once()
        return graph.replay

    def step(self):
        first = self.done * self.batch % (len(self.order) - self.batch + 1)
        self.index.copy_(self.order[first:first + self.batch])
        self.done += 1
        self.once()

    def wait(self):
        if self.index.is_cuda:
            self.torch.cuda.synchronize()


def measure(arguments):
    """One case in this process: prints its rows."""
    mode, layout = arguments.measure.split(",")
    model, phase, batch = arguments.models[0], arguments.phase[0], arguments.batch[0]
    start = time.perf_counter()
    bench = Bench(arguments, model, phase, batch, mode, layout)
    bench.step()
    bench.wait()
    cold = time.perf_counter() - start
    found = measuring.repetitions(bench.step, bench.wait, arguments)
    torch = bench.torch
    peak = torch.cuda.max_memory_reserved() if arguments.device == "cuda" else measuring.peak_resident_bytes()
    case = {"model": model, "phase": phase, "batch": batch, "precision": arguments.precision,
            "device_name": arguments.device, "device": arguments.device_description}
    more = {"threads": arguments.threads, "peak_memory_bytes": peak, "layout": layout, "mode": mode,
            "augment": arguments.augment}
    print(json.dumps(measuring.rows(found, cold, f"PyTorch {torch.__version__}, {mode}", case, more)))


def main():
    options = measuring.parser(__doc__.splitlines()[0])
    options.add_argument("--mode", choices=("eager", "compiled", "captured"), default="eager")
    options.add_argument("--layout", choices=("nhwc", "nchw", "best"), help="default: best on the CPU, nhwc on cuda")
    options.add_argument("--augment", action="store_true")
    options.add_argument("--plain-malloc", action="store_true", help="leave glibc's allocator as it is")
    arguments = options.parse_args()
    if arguments.mode == "captured" and arguments.device != "cuda":
        options.error("--mode captured needs --device cuda")
    measuring.settle(options, arguments)
    if arguments.measure:
        return measure(arguments)
    layout = arguments.layout or ("nhwc" if arguments.device == "cuda" else "best")
    all_rows = []
    for model in arguments.models:
        for phase in arguments.phase:
            for batch in arguments.batch:
                tried = [measuring.apart(__file__, arguments, model, phase, batch, f"{arguments.mode},{one}",
                                         {} if arguments.plain_malloc else KEEP_MEMORY)
                         for one in (("nhwc", "nchw") if layout == "best" else (layout,))]
                best = min(tried, key=measuring.median_ms)
                measuring.print_row(best)
                all_rows += best
    if arguments.json:
        import torch
        environment = {"torch": torch.__version__, "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(),
                       "python": sys.version.split()[0], "threads": arguments.threads,
                       "plain_malloc": arguments.plain_malloc, "omp": os.environ.get("OMP_NUM_THREADS")}
        measuring.write(arguments.json, environment, all_rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
