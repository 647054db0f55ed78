"""The same measurements by NumPy, PyTorch and our Python package, on the same data, for benches/peers/run.

    python peers.py data FOLDER          write the data sets
    python peers.py numpy FOLDER NAME    measure one: the low-rank way, written with care
    python peers.py torch FOLDER NAME    measure one: the usual way
    python peers.py python FOLDER NAME   measure one: this library through the package neuralcollapse
    python peers.py limit FOLDER NAME    measure what the machine allows: the product alone; ours.rs measures two reads
    python peers.py rates                measure the rate of large products, with as many threads as OpenBLAS is told
    python peers.py program FOLDER PROGRAM  measure audits of files by the program at the path PROGRAM
    python peers.py table FOLDER         print all results as a table
    python peers.py workloads FOLDER     print the results for whole workloads as a table
"""

import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np

SIZES = {"A": (50_000, 512, 10), "B": (10_000, 2048, 100), "C": (20_000, 2048, 1000)}
NAMES = [f"{size}/{kind}" for size in SIZES for kind in ("f32", "f64")]
DTYPES = {"f32": "<f4", "f64": "<f8"}
SECONDS = 6  # each measurement is repeated for so long, and the fastest counts


def write_data(folder):
    for size, (n, d, k) in SIZES.items():
        rng = np.random.default_rng(1)
        means = rng.uniform(-1, 1, (k, d))
        labels = rng.permutation(np.arange(n) % k)
        features = means[labels] + 0.1 * rng.uniform(-1, 1, (n, d))
        weights = means + 0.1 * rng.uniform(-1, 1, (k, d))
        labels.astype("<u8").tofile(folder / f"{size}.labels")
        weights.astype("<f8").tofile(folder / f"{size}.weights")
        for kind in ("f32", "f64"):
            features.astype(DTYPES[kind]).tofile(folder / f"{size}.{kind}")


def read_data(folder, name):
    size, kind = name.split("/")
    n, d, k = SIZES[size]
    dtype = DTYPES[kind]
    features = np.fromfile(folder / f"{size}.{kind}", dtype).reshape(n, d)
    labels = np.fromfile(folder / f"{size}.labels", "<u8").astype(np.int64)
    weights = np.fromfile(folder / f"{size}.weights", "<f8").astype(dtype).reshape(k, d)
    return features, labels, weights, k


def structure(product, target, norm):
    return float(norm(product / norm(product) - target / norm(target)))


def class_sums(h, y, k):
    """The faster of two ways: a product with one-hot labels, or sums of runs of the sorted samples."""
    if k <= 128:
        onehot = np.zeros((k, len(h)), h.dtype)
        onehot[y, np.arange(len(h))] = 1
        return onehot @ h
    order = np.argsort(y, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(y, minlength=k))[:-1]])
    return np.add.reduceat(h[order], starts, axis=0)


def numpy_metrics(h, y, w, k):
    """NC1 with B† from an SVD of d×K, never d×d, and never a copy of the deviations: the projected means
    are subtracted from the projected samples. Fast, but no digit is left in deep collapse."""
    counts = np.bincount(y, minlength=k).astype(h.dtype)
    means = class_sums(h, y, k) / counts[:, None]
    centred = means - (counts / len(h)).astype(h.dtype) @ means
    _, s, vt = np.linalg.svd(centred / np.sqrt(k).astype(h.dtype), full_matrices=False)
    keep = s > 1e-6 * s[0]
    inverse = (vt[keep] / s[keep, None]).T
    projected = h @ inverse
    projected -= (means @ inverse)[y]
    nc1 = float(np.vdot(projected, projected)) / len(h) / k
    etf = np.eye(k, dtype=h.dtype) - h.dtype.type(1 / k)
    norm = np.linalg.norm
    return [nc1, structure(w @ w.T, etf, norm), structure(w @ means.T, etf, norm)]


def torch_metrics(h, y, w, k):
    """Class means, pooled d×d covariances and a pseudo-inverse: how published codes do it."""
    import torch

    counts = torch.bincount(y, minlength=k)
    means = torch.zeros(k, h.shape[1], dtype=h.dtype).index_add_(0, y, h) / counts[:, None]
    deviations = h - means[y]
    within = deviations.T @ deviations / len(h)
    centred = means - h.mean(dim=0)
    between = centred.T @ centred / k
    nc1 = torch.trace(torch.linalg.pinv(between) @ within).item() / k
    etf = torch.eye(k, dtype=h.dtype) - 1 / k
    norm = torch.linalg.matrix_norm
    return [nc1, structure(w @ w.T, etf, norm), structure(w @ means.T, etf, norm)]


def fastest(run):
    """The fastest of the repetitions within the time, in seconds."""
    run()  # libraries start their threads
    times, end = [], time.monotonic() + SECONDS
    while len(times) < 3 or time.monotonic() < end:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def product_rate(dtype):
    """Operations per second."""
    square = np.ones((2048, 2048), dtype)  # a shape at which libraries reach their full rate
    return 2 * 2048**3 / fastest(lambda: square @ square)


def rates():
    threads = int(os.environ.get("OPENBLAS_NUM_THREADS", len(os.sched_getaffinity(0))))
    found = {kind: product_rate(dtype) for kind, dtype in DTYPES.items()}
    print(json.dumps({"way": "rates", "cores": threads, **found}))


def limit(folder, name):
    """What no way can be faster than: every sample is multiplied by K vectors, here at the rate of a large square
    product. (It is also read twice, for the means and for the deviations: how long that takes is measured by ours.rs, in
    turn with the rest and from the same memory.)"""
    h, _, w, _ = read_data(folder, name)
    rate = product_rate(h.dtype)
    product = 2 * h.size * len(w) / rate
    print(json.dumps({"way": "limit", "name": name, "seconds": product, "bytes": h.nbytes, "GF/s": rate / 1e9}))


def package_metrics(h, y, w, k):
    """The library through its Python package: what ours.rs does."""
    import neuralcollapse as nc

    statistics = nc.FirstPass(h.shape[1], k, energy=False)
    statistics.add(h, y)
    etf = nc.ClassMatrix.simplex_etf(k)
    nc1 = nc.nc1(h, y, statistics=statistics)
    return [nc1, nc.nc2(w, etf), nc.nc3(statistics.class_means, w, etf)]


def memory(field):
    for line in open("/proc/self/status"):
        if line.startswith(field):
            return int(line.split()[1]) / 1000
    return 0.0


def measure(way, folder, name):
    h, y, w, k = read_data(folder, name)
    run = package_metrics if way == "python" else numpy_metrics
    if way == "python":
        # Those of ours.rs, in double precision.
        w = np.fromfile(folder / f"{name.split('/')[0]}.weights", "<f8").reshape(w.shape)
    if way == "torch":
        import torch

        h, y, w, run = torch.from_numpy(h), torch.from_numpy(y), torch.from_numpy(w), torch_metrics
    run(h, y, w, k)  # libraries start their threads
    open("/proc/self/clear_refs", "w").write("5")  # forget the peak so far
    before, times, end = memory("VmRSS"), [], time.monotonic() + SECONDS
    while len(times) < 3 or time.monotonic() < end:
        start = time.perf_counter()
        values = run(h, y, w, k)
        times.append(time.perf_counter() - start)
    megabytes = memory("VmHWM") - before
    result = {"way": way, "name": name, "seconds": min(times), "megabytes": megabytes, "values": values}
    print(json.dumps(result))


def table(folder):
    results = [json.loads(line) for line in open(folder / "results")]
    found = {}
    for result in sorted(results, key=lambda result: -result["seconds"]):
        found[result["way"], result["name"]] = result  # the fastest is the last
    print("| | two reads | GB/s | product | GF/s | ours | ours/limit | large pages: two reads | ours | ours/limit |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name in NAMES:
        product, *ours = (found.get((way, name)) for way in ("limit", "ours", "large"))
        if product and all(ours):
            cells = []
            for way in ours:
                ratio = way["seconds"] / max(way["reads"], product["seconds"])
                cells += [f"{1000 * way['reads']:.1f} ms", f"{1000 * way['seconds']:.1f} ms", f"{ratio:.2f}"]
            rate = 2 * product["bytes"] / ours[0]["reads"] / 1e9
            cells[1:1] = [f"{rate:.0f}", f"{1000 * product['seconds']:.1f} ms", f"{product['GF/s']:.0f}"]
            print(f"| {name} | " + " | ".join(cells) + " |")
    print("\n| | NumPy | PyTorch | ours | NumPy/ours | PyTorch/ours | MB NumPy | MB PyTorch | MB ours |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in NAMES:
        ways = [found.get((way, name)) for way in ("numpy", "torch", "ours")]
        seconds = [w["seconds"] if w else float("nan") for w in ways]
        cells = [f"{1000 * s:.1f} ms" for s in seconds] + [f"{s / seconds[2]:.1f}" for s in seconds[:2]]
        cells += [f"{w['megabytes']:.0f}" if w else "–" for w in ways]
        print(f"| {name} | " + " | ".join(cells) + " |")
    print("\n| | ours | from Python | from Python/ours | MB ours | MB from Python |\n|---|---|---|---|---|---|")
    for name in NAMES:
        ours, package = found.get(("ours", name)), found.get(("python", name))
        if ours and package:
            ratio = package["seconds"] / ours["seconds"]
            cells = [f"{1000 * way['seconds']:.1f} ms" for way in (ours, package)] + [f"{ratio:.3f}"]
            cells += [f"{way['megabytes']:.0f}" for way in (ours, package)]
            print(f"| {name} | " + " | ".join(cells) + " |")
    print("\n| | NC1 NumPy | NC1 PyTorch | NC1 ours | NC2 ours | NC3 ours |\n|---|---|---|---|---|---|")
    for name in NAMES:
        ways = [found.get((way, name)) for way in ("numpy", "torch", "ours")]
        cells = [f"{w['values'][0]:.7g}" if w else "–" for w in ways]
        cells += [f"{value:.7g}" for value in ways[2]["values"][1:]] if ways[2] else []
        print(f"| {name} | " + " | ".join(cells) + " |")


def write_safetensors(path, arrays):
    """The arrays one after the other, behind a header in JSON."""
    header, end = {}, 0
    kinds = {"float32": "F32", "float64": "F64", "int64": "I64"}
    for name, array in arrays.items():
        start, end = end, end + array.nbytes
        header[name] = {"dtype": kinds[array.dtype.name], "shape": array.shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            file.write(array.data)


def run_program(name, arguments, least):
    """The fastest of three runs of a command."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run(arguments, stdout=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - start)
    found = {"way": "workload", "name": name, "seconds": min(times), "cores": len(os.sched_getaffinity(0))}
    print(json.dumps({**found, **least}))


def program(folder, path):
    """Audits of files of up to 1.5 GB, which the program reads in blocks and measures in double precision, and all pairs of 50 000 classes."""
    cases = [("streamed", 720_000, 512, 100, True), ("10 000 classes", 20_000, 768, 10_000, False)]
    for case, n, d, k, with_penalties in cases:
        rng = np.random.default_rng(1)
        means = rng.uniform(-1, 1, (k, d)).astype("<f4")
        labels = np.arange(n) % k
        features = rng.uniform(-0.1, 0.1, (n, d)).astype("<f4")
        features += means[labels]
        file = folder / "workload.safetensors"
        write_safetensors(file, {"features": features, "labels": labels, "classifier.weight": means})
        size = features.nbytes
        del features
        decays = ["--weight-decay", "5e-4", "--feature-decay", "5e-4", "--bias", "none"] if with_penalties else []
        # Outputs of the head and of the nearest class means, of which `f32` is enough for most decisions; NC1. With
        # penalties the outputs in `f64`, both gradients, half of the scatter and the factor of a d×d matrix.
        single, double = 4 * n * d * k, 2 * n * d * min(d, k)
        if with_penalties:
            single, double = 2 * n * d * k, double + 6 * n * d * k + n * d * d + d**3 / 3
        least = {"bytes": 2 * size, "f64": double, "f32": single, "least": 0}
        for flags in [], ["--metrics", "all"]:
            if flags:
                # NC1 after the layer; half of all pairs: distances of class means, cosines of these, centered or not, and of
                # the head, in `f32` if there are more than dimensions.
                least["f64"] += 2 * n * d * min(d, k) + k * k * d * (1 if k > d else 4)
                least["f32"] += 3 * k * k * d if k > d else 0
            name = " ".join([f"program: {case}", *flags])
            run_program(name, [path, "audit", file, *decays, "--no-standard-errors", *flags], least)
        file.unlink()
    example = pathlib.Path(path).parent / "examples" / "language_model"
    k, d = 50_000, 1024
    # One single-precision product of half of all pairs, and five Gram matrices d×d.
    least = {"bytes": 0, "f64": 5 * k * d * d, "f32": k * k * d, "least": 0}
    run_program("all metrics of 50 000 classes", [example], least)


def workloads(folder):
    results = [json.loads(line) for line in open(folder / "results")]
    reads = {r["cores"]: r["bytes/s"] for r in results if r["way"] == "reads"}
    rates = {r["cores"]: r for r in results if r["way"] == "rates"}
    print("| cores | reads | product `f64` | product `f32` |\n|---|---|---|---|")
    for cores, rate in rates.items():
        cells = [f"{reads[cores] / 1e9:.0f} GB/s", *(f"{rate[kind] / 1e9:.0f} GF/s" for kind in ("f64", "f32"))]
        print(f"| {cores} | " + " | ".join(cells) + " |")
    print("\n| | reads | products | alone | ours | ours/limit |\n|---|---|---|---|---|---|")
    for result in (r for r in results if r["way"] == "workload"):
        rate = rates[result["cores"]]
        read = result["bytes"] / reads[result["cores"]]
        product = sum(result[kind] / rate[kind] for kind in ("f64", "f32"))
        limit = max(read, product, result["least"])
        cells = [duration(s) if s else "–" for s in (read, product, result["least"], result["seconds"])]
        print(f"| {result['name']} | " + " | ".join([*cells, f"{result['seconds'] / limit:.2f}"]) + " |")


def duration(seconds):
    units = (("s", 1), ("ms", 1e3), ("µs", 1e6))
    unit, factor = next((pair for pair in units if seconds * pair[1] >= 1), units[-1])
    return f"{seconds * factor:.3g} {unit}"


if __name__ == "__main__":
    what = sys.argv[1]
    folder = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else None
    if what == "rates":
        rates()
    elif what == "program":
        program(folder, sys.argv[3])
    elif what == "workloads":
        workloads(folder)
    elif what == "data":
        write_data(folder)
    elif what == "table":
        table(folder)
    elif what == "limit":
        limit(folder, sys.argv[3])
    else:
        measure(what, folder, sys.argv[3])
