import itertools
import pathlib

import hypothesis
import hypothesis.strategies as st
import pytest

from fabricmodel.errors import FabricModelError
from fabricmodel.tuning import (
    Cell,
    Rule,
    find_rule,
    merge_rules,
    read_rules,
    write_rules,
)
from fabricmodel.tuning.rules import ALGORITHMS, ANY, LARGEST, LIBRARY_NAMES, PROTOCOLS

counts = st.integers(ANY, 4096)
rules = st.lists(
    st.tuples(
        st.sampled_from(sorted(LIBRARY_NAMES)),
        st.integers(0, LARGEST),
        st.integers(0, LARGEST),
        st.sampled_from(ALGORITHMS),
        st.sampled_from(PROTOCOLS),
        counts, counts, counts, counts, counts,
    ).map(
        lambda v: Rule(
            collective=v[0], min_bytes=min(v[1:3]), max_bytes=max(v[1:3]),
            algorithm=v[3], protocol=v[4], channels=v[5], nodes=v[6], ranks=v[7],
            operations=v[8], registered=v[9],
        )
    ),
    max_size=6,
)  # fmt: skip


@hypothesis.given(wanted=rules)
@hypothesis.settings(
    max_examples=60,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
def test_round_trip(wanted, tmp_path: pathlib.Path):
    path = tmp_path / "tuner.csv"
    write_rules(path, wanted, "made\nfor a test")
    assert read_rules(path) == tuple(wanted)


def test_the_line_is_the_plugins(tmp_path):
    """As the plugin's documentation shows its fields, in this order."""
    path = tmp_path / "t.csv"
    rule = Rule(
        collective="reduce_scatter", min_bytes=1024, max_bytes=65536, algorithm="tree",
        protocol="ll128", channels=4, nodes=2, ranks=16, operations=1, registered=0,
    )  # fmt: skip
    write_rules(path, [rule])
    assert path.read_text().split("\n")[1] == (
        "reducescatter,1024,65536,tree,ll128,4,2,16,1,0"
    )
    path.write_text(
        "# old, without the last two\n\nallreduce,0,65536,ring,ll,-1,-1,8\n"
    )
    assert read_rules(path)[0] == Rule(
        collective="all_reduce", min_bytes=0, max_bytes=65536, algorithm="ring",
        protocol="ll", ranks=8,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("allreduce,0,9,ring,ll", "5 fields"),
        ("alltoall,0,9,ring,ll,1,1,1", "collective_type 'alltoall' is unknown"),
        ("allreduce,0,9,rng,ll,1,1,1", "algorithm 'rng' is unknown. Use one of tree"),
        ("allreduce,0,9,ring,l1,1,1,1", "protocol 'l1' is unknown"),
        ("allreduce,9,0,ring,ll,1,1,1", "min_bytes 9 is above max_bytes 0"),
        ("allreduce,-1,9,ring,ll,1,1,1", "min_bytes '-1' is no whole number"),
        ("allreduce,0,1e9,ring,ll,1,1,1", "max_bytes '1e9' is no whole number"),
        ("allreduce,0,9,ring,ll,1,x,1", "nNodes 'x' is no whole number"),
    ],
)
def test_bad_lines_are_named(tmp_path, line, message):
    path = tmp_path / "t.csv"
    path.write_text(f"# comment\n{line}\n")
    with pytest.raises(FabricModelError) as caught:
        read_rules(path)
    assert f"{path}, line 2: " in str(caught.value)
    assert message in str(caught.value)


def test_bad_files(tmp_path):
    with pytest.raises(FabricModelError, match="can't be read"):
        read_rules(tmp_path / "none.csv")
    rule = Rule(collective="all_to_all", min_bytes=0, max_bytes=9, algorithm="ring")
    with pytest.raises(FabricModelError, match="not among NCCL's tuned"):
        write_rules(tmp_path / "t.csv", [rule])
    with pytest.raises(FabricModelError, match="can't be written"):
        write_rules(tmp_path / "no" / "t.csv", [])
    assert list(tmp_path.iterdir()) == []


def test_the_first_match_wins_and_nothing_else_does():
    def rule(name, largest=100, nodes=ANY):
        return Rule(
            collective="all_reduce", min_bytes=0, max_bytes=largest, algorithm=name,
            nodes=nodes,
        )  # fmt: skip

    rules = [rule("tree", largest=10, nodes=2), rule("ring", nodes=2), rule("nvls")]
    found = [
        getattr(find_rule(rules, "all_reduce", size, nodes, 16), "algorithm", None)
        for size, nodes in ((10, 2), (11, 2), (11, 4), (101, 2))
    ]
    assert found == ["tree", "ring", "nvls", None]
    assert find_rule(rules, "all_gather", 5, 2, 16) is None


sizes = st.lists(st.integers(1, 2**40), min_size=1, max_size=9, unique=True)


@hypothesis.given(sizes=sizes, data=st.data())
def test_merged_rules_cover_everything_once_and_keep_every_choice(sizes, data):
    cells = [
        Cell(
            collective="all_reduce", ranks=8, nodes=1, size_bytes=float(size),
            algorithm=data.draw(st.sampled_from(["ring", "tree"])),
        )
        for size in sizes
    ]  # fmt: skip
    rules = merge_rules(cells)
    assert rules[0].min_bytes == 0
    assert rules[-1].max_bytes == LARGEST
    for one, following in itertools.pairwise(rules):
        assert following.min_bytes == one.max_bytes + 1
        assert following.algorithm != one.algorithm
    far = [
        c
        for c in cells
        if all(abs(c.size_bytes - s) > 1 or s == c.size_bytes for s in sizes)
    ]
    for cell in far:
        found = find_rule(rules, "all_reduce", cell.size_bytes, 1, 8)
        assert found is not None
        assert found.algorithm == cell.algorithm
