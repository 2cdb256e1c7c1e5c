"""Measuring the examples: tables of one run, ranges over seeds, and where they are written."""

import json

import pytest

pytest.importorskip("tqdm")
pytest.importorskip("matplotlib")

from examples.__main__ import main, sources
from examples.shared import measure
from tests.examples.figures import assert_figures


@pytest.mark.parametrize("x, text", [
    (0.9964, "0.996"), (0.99, "0.990"), (2.7096, "2.71"), (3.2e-12, "3.20e-12"), (157.3, "157"), (0.0, "0"),
    (1.0, "1"), (50, "50"), (56508.0, "56,508"), (20959.16, "20,959"), (-0.25, "-0.250"),
])  # fmt: skip
def test_numbers_have_three_digits(x, text):
    assert measure.number(x) == text


RUNS = [
    {"perplexity": {"LSTM": 2.71, "bigram": 5.09}, "right": {"LSTM": 1.0}},
    {"perplexity": {"LSTM": 2.68, "bigram": 5.0901}, "right": {"LSTM": 0.995}},
    {"perplexity": {"LSTM": 2.75, "bigram": 5.0899}, "right": {"LSTM": 1.0}},
]


def test_a_report_is_a_table_and_gives_back_what_it_shows(capsys):
    assert measure.report("held out", RUNS[0]) is RUNS[0]
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["held", "out", "perplexity", "right"] and len(head) == len(first) == len(second)
    assert first.split() == ["LSTM", "2.71", "1"] and second.split() == ["bigram", "5.09"]
    assert head.index("perplexity") + len("perplexity") == first.index("2.71") + 4  # columns end together


def test_ranges_are_the_lowest_and_the_highest():
    rows = measure.ranges("word_lm", RUNS).splitlines()
    assert rows == [
        "| `word_lm`, 3 seeds | perplexity | right |",
        "| --- | --- | --- |",
        "| LSTM | 2.68 to 2.75 | 0.995 to 1 |",
        "| bigram | 5.09 |  |",
    ]
    assert measure.ranges("word_lm", RUNS[:1]).startswith("| `word_lm`, 1 seed |")


def test_only_the_table_of_that_example_is_replaced():
    empty = f"above\n\n{measure.BEGIN}{measure.END}below\n"
    one = measure.replace(empty, "music", "| `music`, 1 seed | a |\n| --- | --- |\n| x | 1 |\n")
    both = measure.replace(one, "dna", "| `dna`, 1 seed | b |\n| --- | --- |\n| y | 2 |\n")
    again = measure.replace(both, "dna", "| `dna`, 5 seeds | b |\n| --- | --- |\n| y | 2 to 3 |\n")
    assert again == both.replace("1 seed | b", "5 seeds | b").replace("| y | 2 |", "| y | 2 to 3 |")
    assert again.startswith("above\n") and again.endswith("below\n")
    assert again.index("`dna`") < again.index("`music`")  # in order
    assert again.count("\n\n|") == 2 and "|\n\n| `music`" in again  # a blank line makes a table of its own


def test_the_program_runs_every_seed_and_writes(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "doc.md").write_text(f"# Figures\n{measure.BEGIN}{measure.END}", encoding="utf-8")
    main(["--measure", "polynomials", "--seeds", "2", "--quick", "--into", "doc.md", "--out", "all"])
    runs = [json.loads((tmp_path / f"all/polynomials/{k}/figures.json").read_text()) for k in (0, 1)]
    assert runs[0] != runs[1]  # seeds differ
    for figures in runs:
        assert_figures(figures)
    text = (tmp_path / "doc.md").read_text(encoding="utf-8")
    assert measure.ranges("polynomials", runs) in text and "1 + 2z" not in capsys.readouterr().out


def test_a_wrong_command_says_what_there_is(capsys):
    for words, said in {"--measure nobody": "got nobody", "--measure dna --seeds 0": "at least 1"}.items():
        with pytest.raises(SystemExit):
            main(words.split())
        assert said in capsys.readouterr().err


def test_all_programs_give_figures_but_those_that_only_draw():
    silent = [name for name, text in sources().items() if "-> Figures:" not in text]
    assert silent == ["bug_museum", "gallery"]
