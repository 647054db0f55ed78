"""The one-layer cross-entropy program by cvxpy, by L-BFGS on its factors, and by this crate's program.

    python convex.py PROGRAM [NAME …]    measure and print a table; PROGRAM is the path of neural-collapse

* *cvxpy* states the K×K program as it is published, min Σ w_j CE(Z e_j, j) + κ‖Z diag(√n)‖_*, for its default solvers.
* *L-BFGS* minimises over W and H (one column per class, weighted) from a random start, in SciPy.
* *ours* is `predict --loss ce --json` as a whole process, with the gap that it states.

The other two are held against the lower bound that ours proves: (loss − bound)/bound. Losses are evaluated here, in NumPy,
at what each solver returns. Seconds are processor time (of all threads) of one run, which other work on the machine changes
less than the time on the clock. A run of another way than ours is ended after LIMIT seconds on the clock.
"""

import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

LIMIT = 300
DECAY = {"10": 1e-3, "30": 1e-3, "100": 5e-4, "300": 1e-4, "1000": 3e-5}


def long_tail(classes, largest, smallest):
    """Class sizes that fall geometrically."""
    ratio = smallest / largest
    return [round(largest * ratio ** (k / (classes - 1))) for k in range(classes)]


SIZES = {
    "10": long_tail(10, 500, 5),
    "30": long_tail(30, 500, 5),
    "100": long_tail(100, 500, 5),
    "300": long_tail(300, 500, 5),
    "1000": long_tail(1000, 1280, 5),
}


def loss_at(logits, counts, decay):
    """The objective at logits Z, column by column."""
    n = np.array(counts, float)
    shift = logits.max(axis=0)
    logs = shift + np.log(np.exp(logits - shift).sum(axis=0))
    fit = n @ (logs - np.diag(logits)) / n.sum()
    return fit + decay * np.linalg.svd(logits * np.sqrt(n), compute_uv=False).sum()


def by_cvxpy(counts, decay):
    import cvxpy

    n = np.array(counts, float)
    k = len(n)
    z = cvxpy.Variable((k, k))
    fit = (cvxpy.log_sum_exp(z, axis=0) - cvxpy.diag(z)) @ (n / n.sum())
    penalty = decay * cvxpy.normNuc(z @ np.diag(np.sqrt(n)))
    problem = cvxpy.Problem(cvxpy.Minimize(fit + penalty))
    problem.solve()
    return z.value, problem.solver_stats.solver_name


def by_lbfgs(counts, decay):
    from scipy.optimize import minimize

    n = np.array(counts, float)
    k, d = len(n), len(n)
    rng = np.random.default_rng(0)

    def objective(numbers):
        w, h = numbers[: k * d].reshape(k, d), numbers[k * d :].reshape(d, k)
        logits = w @ h
        shift = logits.max(axis=0)
        odds = np.exp(logits - shift)
        sums = odds.sum(axis=0)
        value = n @ (shift + np.log(sums) - np.diag(logits)) / n.sum()
        value += decay / 2 * ((w * w).sum() + (n * (h * h).sum(axis=0)).sum())
        slope = (odds / sums - np.eye(k)) * (n / n.sum())
        return value, np.concatenate(
            [(slope @ h.T + decay * w).ravel(), (w.T @ slope + decay * n * h).ravel()]
        )

    start = rng.standard_normal(2 * k * d) / np.sqrt(np.sqrt(k))
    settings = {"maxiter": 100_000, "maxfun": 200_000, "maxcor": 30, "ftol": 0.0, "gtol": 1e-12}
    found = minimize(objective, start, jac=True, method="L-BFGS-B", options=settings).x
    return found[: k * d].reshape(k, d) @ found[k * d :].reshape(d, k), "L-BFGS-B"


def in_process(pipe, way, counts, decay):
    start = time.process_time()
    logits, solver = way(counts, decay)
    seconds = time.process_time() - start
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    pipe.send((loss_at(logits, counts, decay), seconds, megabytes, solver))


def measured(way, counts, decay):
    """Loss, seconds, megabytes and solver of another way, or None after the limit."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=in_process, args=(theirs, way, counts, decay)
    )
    process.start()
    theirs.close()
    try:
        return ours.recv() if ours.poll(LIMIT) else None
    except EOFError:
        return None
    finally:
        process.kill()
        process.join()


def ours(program, counts, decay):
    """Loss, bound, seconds and megabytes of the program."""
    command = [program, "predict", "--loss", "ce", "--counts", ",".join(map(str, counts))]
    command += ["--depth", "1", "--weight-decay", repr(decay), "--feature-decay", repr(decay), "--json"]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = usage.ru_utime + usage.ru_stime
        output.seek(0)
        result = json.load(output)
    if status != 0:
        raise SystemExit(f"{program} ended with {status}")
    return result["loss"], result["lower_bound"], seconds, usage.ru_maxrss / 1024


def main():
    program, names = sys.argv[1], sys.argv[2:] or list(SIZES)
    print("| K | λ | ours s | MB | gap | cvxpy s | MB | above the bound | L-BFGS s | MB | above the bound |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for name in names:
        counts, decay = SIZES[name], DECAY[name]
        loss, bound, seconds, megabytes = ours(program, counts, decay)
        cells = [name, f"{decay:g}", f"{seconds:.2f}", f"{megabytes:.0f}", f"{(loss - bound) / loss:.0e}"]
        for way in (by_cvxpy, by_lbfgs):
            found = measured(way, counts, decay)
            if found is None:
                cells += [f"> {LIMIT}, or failed", "–", "–"]
            else:
                above = (found[0] - bound) / bound
                cells += [f"{found[1]:.1f}", f"{found[2]:.0f}", f"{above:.0e}"]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
