"""The closed forms behind the reference tables, in mpmath at the current working precision.

One singular direction of the linear network minimises, over x >= 0,

    g(x; b) = 1/(x^M + 1) + b x,

and everything in the tables follows from its minimiser. All functions are written for clarity and
precision, not speed, and share no code and no method with the Rust library. A root is returned only
after `certify_root` has seen the sign change around it.
"""

from collections.abc import Callable, Sequence

from mpmath import exp, log, log1p, mp, mpf, power, sqrt

# A root is accepted only if its equation changes sign within this relative distance of it.
CERTIFIED = mpf(10) ** -45
NEWTON_LIMIT = 400


def tau(depth: int) -> mpf:
    """The ratio a / sigma^2 at and above which a direction is zero: (M-1)^((M-1)/M) / M^2."""
    return power(depth - 1, mpf(depth - 1) / depth) / depth**2


def beta(depth: int) -> mpf:
    """The threshold in b = M a / sigma^2."""
    return depth * tau(depth)


def root_at_threshold(depth: int) -> mpf:
    """The positive global minimiser at b = beta, where g = 1 as at x = 0."""
    return power(depth - 1, mpf(1) / depth)


def fold_position(depth: int) -> mpf:
    """Where the slope function M x^(M-1) / (x^M+1)^2 is largest."""
    return power(mpf(depth - 1) / (depth + 1), mpf(1) / depth)


def slope(depth: int, x: mpf) -> mpf:
    """M x^(M-1) / (x^M+1)^2, which equals b at a stationary point of g (0^0 = 1)."""
    return depth * power(x, depth - 1) / (power(x, depth) + 1) ** 2


def fold(depth: int) -> mpf:
    """The largest b for which g has a stationary point."""
    return slope(depth, fold_position(depth))


def g(depth: int, b: mpf, x: mpf) -> mpf:
    """The function that a direction minimises."""
    return 1 / (power(x, depth) + 1) + b * x


def certify_root(function: Callable[[mpf], mpf], root: mpf) -> mpf:
    """`root`, if `function` changes sign within a relative distance of 1e-45 of it."""
    if function(root * (1 - CERTIFIED)) * function(root * (1 + CERTIFIED)) >= 0:
        raise ArithmeticError(f"no sign change at the root {root}")
    return root


def larger_stationary_point(depth: int, b: mpf) -> mpf:
    """The larger positive solution of slope(x) = b, for 0 < b < fold."""
    if depth == 1:
        return 1 / sqrt(b) - 1
    # slope(x) < M x^-(M+1), so this start is to the right of the root.
    start = log(depth / b) * depth / (depth + 1)
    return _stationary_point(depth, b, start)


def smaller_stationary_point(depth: int, b: mpf) -> mpf:
    """The smaller positive solution of slope(x) = b, for 0 < b < fold and M >= 2."""
    # slope(x) < M x^(M-1), so this start is to the left of the root.
    start = log(b / depth) * depth / (depth - 1)
    return _stationary_point(depth, b, start)


def _stationary_point(depth: int, b: mpf, start: mpf) -> mpf:
    """Newton's method in v = ln x^M on the concave phi(v) = (1-1/M) v - 2 ln(1+e^v) = ln(b/M).

    Outside the two roots, a tangent of a concave function meets the level before the function
    does: the steps never pass the root on the side where they start.
    """
    exponent = mpf(depth - 1) / depth
    level = log(b / depth)
    v = start
    for _ in range(NEWTON_LIMIT):
        value = exponent * v - 2 * log1p(exp(v)) - level
        step = value / (exponent - 2 / (1 + exp(-v)))
        v -= step
        if abs(step) < mpf(10) ** (20 - mp.dps):
            x = exp(v / depth)
            return certify_root(lambda y: slope(depth, y) - b, x)
    raise ArithmeticError(f"Newton's method did not end for depth {depth}, b = {b}")


def regime(depth: int, b: mpf) -> str:
    """Which of x = 0 and x > 0 minimises g; "tie" at b = beta, which a float can only equal for M <= 2."""
    threshold = beta(depth)
    if b == threshold:
        return "tie"
    return "positive" if b < threshold else "zero"


def minimizer(depth: int, b: mpf) -> mpf:
    """The global minimiser of g; at a tie the larger one."""
    kind = regime(depth, b)
    if kind == "zero":
        return mpf(0)
    return root_at_threshold(depth) if kind == "tie" else larger_stationary_point(depth, b)


def eigenvalue_between(sizes: Sequence[int], multiplicities: Sequence[int], index: int) -> tuple[mpf, mpf, mpf]:
    """The eigenvalue of diag(n) - n n^T / N between two successive distinct sizes, and its gaps.

    The secular equation sum_g m_g n_g^2 / (N (n_g - mu)) = 1 loses its root mu = 0 and becomes

        sum_g m_g n_g / (n_g - mu) = 0,

    since n^2/(n - mu) = n + mu n/(n - mu) and sum_g m_g n_g = N. The left side increases from
    -inf to +inf between two sizes, so there is exactly one root; it is found as its distance from
    the smaller size, which keeps its digits however close to that size it is.
    Returns (mu, mu - smaller size, larger size - mu).
    """
    lower, width = sizes[index], sizes[index + 1] - sizes[index]

    def from_below(gap: mpf) -> mpf:
        return _pole_sum(sizes, multiplicities, lower, gap)

    def from_above(gap: mpf) -> mpf:
        return _pole_sum(sizes, multiplicities, sizes[index + 1], -gap)

    below = certify_root(from_below, bracketed_root(lambda gap: from_below(gap) * gap * (width - gap), mpf(width)))
    return lower + below, below, certify_root(from_above, width - below)


def _pole_sum(sizes: Sequence[int], multiplicities: Sequence[int], origin: int, offset: mpf) -> mpf:
    """sum_g m_g n_g / (n_g - mu) at mu = origin + offset; the integer part is subtracted exactly."""
    return mp.fsum(m * n / (n - origin - offset) for n, m in zip(sizes, multiplicities, strict=True))


def bracketed_root(function: Callable[[mpf], mpf], width: mpf) -> mpf:
    """The root in (0, width) of a function that is negative before it and positive after it.

    Bisection until the bracket is narrow beside both its distances from the ends, then secants.
    """
    low, high = mpf(0), width
    while high - low > mpf("1e-6") * min(high, width - low):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) < 0 else (low, middle)
    at_low, at_high = function(low), function(high)
    for _ in range(NEWTON_LIMIT):
        step = at_high * (high - low) / (at_high - at_low)
        low, at_low = high, at_high
        high -= step
        # Secants converge superlinearly: the error is now far below this step.
        if abs(step) < mpf(10) ** (20 - mp.dps) * high:
            return high
        at_high = function(high)
    raise ArithmeticError("the secant method did not end")
