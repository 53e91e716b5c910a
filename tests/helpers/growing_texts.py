"""Bodies of models that grow with a number, for tests of how the time grows."""


def in_line(count: int) -> str:
    return "".join(f"(a{n}, <tanh>)" for n in range(count))


def layers(count: int) -> str:
    return "".join(f"(a{n}, 4, <tanh>)" for n in range(count))


def side_by_side(count: int) -> str:
    branches = "|".join(f"(a{n}, {4 + n % 3}, <tanh>)" for n in range(count))
    return f"[s, {branches}]" + "".join(f"{{m{n}, a{n}, additive}}" for n in range(count))


def of_many_widths(count: int) -> str:
    branches = "|".join(f"(a{n}, {1000 + 200 * n}, <tanh>)" for n in range(count))
    return f"[s, {branches}]" + "".join(f"{{m{n}, a{n}, additive}}" for n in range(count))


def loops_in_line(count: int) -> str:
    return "".join(f"{{m{n}, a{n}, additive}} (a{n}, <tanh>)" for n in range(count))


def one_loop(count: int) -> str:
    return "".join(f"{{m{n}, end, additive}}" for n in range(count)) + "(end, 3, <tanh>)"


def norms(count: int) -> str:
    return "".join(f"(a{n}, <norm>)" for n in range(count))
