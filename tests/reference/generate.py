"""Write the reference tables: `python generate.py` (see README.md beside this file).

Inputs are binary64 numbers, written so that they read back exactly. Outputs have 35 significant
digits; every table is computed twice, with different working precisions, and must come out equal.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

from mpmath import mp

from convex_tables import convex_rows
from cross_entropy_tables import cross_entropy_rows, phase_rows, simplex_rows, simplex_threshold_rows
from decimals import Row
from loss_tables import multi_label_rows, nonnegative_rows, smoothing_rows
from problem_tables import critical_ratio_rows, problem_rows
from scalar_tables import minimizer_rows, single_rows, stationary_rows, threshold_rows
from spectrum_tables import secular_rows

FOLDER = Path(__file__).parent
WORKING_DIGITS = (90, 130)

PROBLEM_INPUTS = "bias,depth,counts,decays,feature_decay,bias_decay"
PROBLEM_OUTPUTS = "a,loss,smallest_surviving,largest_factor,bias_vector"
DIRECTION_OUTPUTS = "multiplicity,target_squared,ratio,x,energy,s,fitted_share,classifier_squared,features_squared"
CLASS_OUTPUTS = "classifier_norms_squared,mean_norms_squared"

TABLES: dict[str, tuple[str, Callable[[], Iterable[Row]]]] = {
    "thresholds.csv": ("depth,tau,beta,fold,root_at_threshold,fold_position", threshold_rows),
    "minimizer.csv": ("depth,b,regime,x,x_pow_depth,g,residual_share", minimizer_rows),
    "stationary.csv": ("depth,b,smaller,larger", stationary_rows),
    "single.csv": ("depth,b,regime,x,smaller,larger", single_rows),
    "problems.csv": (",".join((PROBLEM_INPUTS, PROBLEM_OUTPUTS, DIRECTION_OUTPUTS, CLASS_OUTPUTS)), problem_rows),
    "secular.csv": ("sizes,multiplicities,eigenvalues,above_smaller_size,below_larger_size", secular_rows),
    "critical_ratio.csv": (
        "depth,majority_classes,minority_classes,minority_samples,decays,feature_decay,critical_total,critical_ratio",
        critical_ratio_rows,
    ),
    "simplex_thresholds.csv": ("classes,depth,threshold,fold,proved_collapse,tie", simplex_threshold_rows),
    "simplex.csv": ("classes,depth,strength,regime,alpha,loss", simplex_rows),
    "cross_entropy.csv": (
        "depth,classes,samples,loss_mean,decays,feature_decay,strength,alpha,energy,loss,first_squared,last_squared,mean_squared",
        cross_entropy_rows,
    ),
    "convex.csv": (
        "sizes,weights,smoothing,weight_decay,feature_decay,merging_counts,gaps,critical,critical_free_bias",
        convex_rows,
    ),
    "nonnegative.csv": (
        "sizes,weights,smoothing,weight_decay,feature_decay,margins,conditions,loss",
        nonnegative_rows,
    ),
    "smoothing.csv": ("classes,depth,strength,smoothing,alpha,condition,loss", smoothing_rows),
    "multi_label.csv": (
        "classes,tags,samples,weight_decay,feature_decay,sizes,conditions,loss",
        multi_label_rows,
    ),
    "phases.csv": ("classes,depth,below,above,strength", phase_rows),
}


def render(header: str, rows: Callable[[], Iterable[Row]], working_digits: int) -> str:
    """The text of a table computed with `working_digits` digits."""
    with mp.workdps(working_digits):
        lines = [header, *(",".join(row) for row in rows())]
    if any(line.count(",") != header.count(",") for line in lines):
        raise ValueError(f"rows do not match the header {header}")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write every table whose two computations agree in every digit."""
    for name, (header, rows) in TABLES.items():
        text, again = (render(header, rows, working_digits) for working_digits in WORKING_DIGITS)
        if text != again:
            raise ArithmeticError(f"{name} depends on the working precision")
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")
        print(f"{name}: {text.count(chr(10)) - 1} rows, {len(text)} bytes")


if __name__ == "__main__":
    main()
