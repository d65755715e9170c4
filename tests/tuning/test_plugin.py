"""What is exported, read as NCCL's example tuner plugin reads it.

An independent reading of the plugin's documented grammar (NCCL 2.27 and later,
``ext-tuner/example``: README and the comments of its sample configuration), with its
leniency: an unknown word becomes a default, empty fields close up, what is longer
than its buffer goes on as another line. Whatever survives that unchanged says the same
to the plugin.
"""

import itertools

import hypothesis
import hypothesis.strategies as st
import pytest

from fabricmodel.tuning import Cell, find_rule, merge_rules, write_rules
from fabricmodel.tuning.rules import ANY, LIBRARY_NAMES, PROTOCOLS, Rule

BUFFER = 255  # characters of a line that fit
KINDS = ("broadcast", "reduce", "allgather", "reducescatter", "allreduce")
FAMILIES = (
    "tree", "ring", "collnet_direct", "collnet_chain", "nvls", "nvls_tree", "pat",
)  # fmt: skip
OURS = {plain: name for name, plain in LIBRARY_NAMES.items()}


def whole(token, bits=32):
    """As C reads a number: the digits in front, the rest ignored, within the type."""
    digits = "".join(itertools.takewhile(str.isdigit, token.strip().removeprefix("-")))
    value = int(digits or 0) * (-1 if token.strip().startswith("-") else 1)
    top = 2**64 - 1 if bits == 64 else 2**31 - 1
    return min(value, top)


def load(text):
    """The plugin's table: kind, sizes, family, protocol, channels, the four matches."""
    table = []
    lines = (
        line[start : start + BUFFER]
        for line in text.split("\n")
        for start in range(0, len(line), BUFFER)
    )
    for cut in lines:
        if cut[0] == "#":
            continue
        tokens = [token for token in cut.split(",") if token]
        if len(tokens) < 8:
            continue
        kind, low, high, family, protocol, channels, nodes, ranks, *more = tokens
        more = [whole(token) for token in more] + [ANY] * (2 - len(more))
        table.append(
            (
                kind if kind in KINDS else "allreduce",
                whole(low, 64),
                whole(high, 64),
                family if family in FAMILIES else "ring",
                protocol if protocol in PROTOCOLS else "simple",
                whole(channels),
                whole(nodes),
                whole(ranks),
                *more[:2],
            )
        )
    return table


def look_up(table, kind, size, nodes, ranks):
    """The first line that matches."""
    for line in table:
        if (
            line[0] == kind
            and line[1] <= size <= line[2]
            and line[6] in (ANY, nodes)
            and line[7] in (ANY, ranks)
        ):
            return line
    return None


cells = st.lists(
    st.builds(
        Cell,
        collective=st.sampled_from(sorted(LIBRARY_NAMES)),
        ranks=st.sampled_from([8, 64, 100_000]),
        nodes=st.sampled_from([1, 8]),
        size_bytes=st.integers(1, 2**44).map(float),
        algorithm=st.sampled_from(("", *FAMILIES)),
        protocol=st.sampled_from(PROTOCOLS),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda cell: (cell.collective, cell.ranks, cell.nodes, cell.size_bytes),
)


@hypothesis.given(cells=cells, size=st.integers(0, 2**44))
@hypothesis.settings(
    max_examples=80,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
def test_the_plugin_chooses_what_was_exported(cells, size, tmp_path):
    rules = merge_rules(cells)
    path = tmp_path / "tuner.csv"
    write_rules(path, rules, "two\nlines of comment")
    table = load(path.read_text())
    assert len(table) == len(rules)
    for cell in cells:
        for asked in (size, int(cell.size_bytes)):
            own = find_rule(rules, cell.collective, asked, cell.nodes, cell.ranks)
            kind = LIBRARY_NAMES[cell.collective]
            line = look_up(table, kind, asked, cell.nodes, cell.ranks)
            if own is None:
                assert line is None
                continue
            assert line is not None
            assert (OURS[line[0]], *line[3:6]) == (
                own.collective, own.algorithm, own.protocol, own.channels,
            )  # fmt: skip


def test_no_line_outgrows_the_plugins_buffer(tmp_path):
    path = tmp_path / "tuner.csv"
    most = 2**31 - 1
    rule = Rule(
        collective="reduce_scatter", min_bytes=2**64 - 1, max_bytes=2**64 - 1,
        algorithm="collnet_direct", protocol="simple", channels=most, nodes=most,
        ranks=most, operations=most, registered=most,
    )  # fmt: skip
    write_rules(path, [rule], "why, " * 120)  # whose tail must not pass for a rule
    assert max(map(len, path.read_text().split("\n"))) < BUFFER
    assert load(path.read_text()) == [
        ("reducescatter", 2**64 - 1, 2**64 - 1, "collnet_direct", "simple", *[most] * 5)
    ]


@pytest.mark.parametrize(
    ("line", "family"),
    [
        ("allreduce,0,65536,tree,ll,-1,-1,8", "tree"),
        ("allreduce,0,65536,rng,ll,-1,-1,8", "ring"),
        ("allreduce,0,,tree,ll,-1,-1,8", None),
    ],
)
def test_the_grammar_as_documented(line, family):
    """The reading itself: a default for an unknown word, no line with a field less."""
    found = look_up(load(f"# comment\n\n{line}\n"), "allreduce", 1024, 1, 8)
    assert (found and found[3]) == family
