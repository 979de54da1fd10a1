"""The word check finds retired words wherever a person reads them, and nothing else."""

from pathlib import Path
from typing import Any

import pytest
from scripts.checks.words import Term, Vocabulary


def found(path: str, source: str, **term: Any) -> list[str]:
    """`line: word` of each finding of one term."""
    vocabulary = Vocabulary([Term.of({"use": "x", **term})], skip=())
    return [f"{finding.line}: {finding.word}" for finding in vocabulary.findings(path, source)]


@pytest.mark.parametrize(
    ("path", "source", "lines"),
    [
        ("a.py", "x = 1  # it is told\n", ["1: told"]),
        ("a.py", 'def f():\n    """Read.\n\n    What is told.\n    """\n', ["4: told"]),
        ("a.py", 'raise ValueError(f"{name} was told")\n', ["1: told"]),
        ("a.py", "for told in names:\n    pass\n", ["1: told"]),
        ("a.py", "def was_told_twice(): ...\n", ["1: told"]),
        ("a.py", "class ToldTwice: ...\n", ["1: told"]),
        ("a.py", "TOLD_SECONDS = 1\n", ["1: told"]),
        ("a.py", 'print(f"{told.name} of {count}")\n', ["1: told"]),
        ("a.rs", "/// What it is told.\nfn f() {}\n", ["1: told"]),
        ("a.rs", 'let message = "was told";\n', ["1: told"]),
        ("a.rs", "let told = 1;\n", ["1: told"]),
        ("a.sql", "-- what it is told\nSELECT 1;\n", ["1: told"]),
        ("a.md", "# Title\n\nIt is told.\n", ["3: told"]),
        ("a.md", "The argument `told` and `goald_told_total`.\n", ["1: told", "1: told"]),
        ("Makefile", "run: ## Start what is told\n", ["1: told"]),
        ("a.yaml", "# told\nkey: value\n", ["1: told"]),
        ("docs/told.md", "", ["0: told"]),
        ("tests/test_what_is_told.py", "", ["0: told"]),
    ],
)
def test_finds_a_word_wherever_it_is_read(path: str, source: str, lines: list[str]) -> None:
    assert found(path, source, words=["told"]) == lines


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("a.py", "untold = retold + toldness\n"),
        ("a.py", "# untold\n"),
        ("a.rs", "let a: &'static str = x; let b = '\"';\n"),
        ("a.bin", ""),
    ],
)
def test_finds_no_part_of_a_longer_word(path: str, source: str) -> None:
    assert found(path, source, words=["told"]) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("a.py", "# as many as it is, of\n# its own\nx = 1\n"),
        ("a.py", 'x = (\n    "a database of "\n    "its own"\n)\n'),
        ("a.py", '"""A database of\n    its own."""\n'),
        ("a.rs", "/// A database of\n/// its own.\nfn f() {}\n"),
        ("a.md", "A database of\nits own.\n"),
        ("a.py", "def a_database_of_its_own(): ...\n"),
    ],
)
def test_finds_a_phrase_across_lines_and_in_names(path: str, source: str) -> None:
    assert len(found(path, source, words=["of its own"])) == 1


def test_separate_comments_are_no_phrase() -> None:
    assert found("a.py", "# one of\nx = 1\n# its own\n", words=["of its own"]) == []


def test_only_limits_a_term_to_names_or_to_text() -> None:
    source = "# the part\npart = 1\n"

    assert found("a.py", source, words=["part"], only="names") == ["2: part"]
    assert found("a.py", source, words=["part"], only="text") == ["1: part"]


def test_an_exception_around_a_word_allows_it() -> None:
    source = "# a dead letter, a letter, dead letters\n"

    assert found("a.py", source, words=["letters?"], **{"except": ["dead letters?"]}) == [
        "1: letter"
    ]


def test_paths_limit_a_term_to_files() -> None:
    assert found("src/a.py", "issuer = 1\n", words=["issuer"], paths=["tests/*"]) == []
    assert found("tests/a.py", "issuer = 1\n", words=["issuer"], not_paths=["tests/*"]) == []


@pytest.mark.parametrize(
    "source",
    [
        '"""What the shard keeps of it."""\n',
        '"""Reads. What the shard keeps of it."""\n',
        '"""Reads.\n\n    What the shard keeps of it.\n    """\n',
        "# - What the shard keeps of it.\n",
        'x = "What the shard keeps of it"\n',
    ],
)
def test_finds_the_beginning_of_a_sentence(source: str) -> None:
    assert len(found("a.py", source, words=["What"], opening=True)) == 1


@pytest.mark.parametrize(
    "source",
    [
        '"""What does the shard keep of it?"""\n',
        '"""Returns What the caller gave in."""\n',
        'x = "What"\n',
        'x = "what of it"\n',
    ],
)
def test_a_question_or_a_word_is_no_sentence_that_turns_round(source: str) -> None:
    assert found("a.py", source, words=["What"], opening=True) == []


def test_a_heading_may_begin_with_what() -> None:
    assert found("a.md", "# What goald reads\n", words=["What"], opening=True) == []


def test_two_terms_do_not_report_one_place_twice() -> None:
    terms = [{"words": ["was told"], "use": "x"}, {"words": ["told"], "use": "y"}]
    vocabulary = Vocabulary([Term.of(term) for term in terms], skip=())

    assert [finding.use for finding in vocabulary.findings("a.py", "# was told\n")] == ["x"]


def test_a_finding_says_where_and_what_to_write() -> None:
    vocabulary = Vocabulary([Term.of({"words": ["told"], "use": "reported"})], skip=["b.py"])

    assert [str(finding) for finding in vocabulary.findings("a.py", "\n# told\n")] == [
        "a.py:2: 'told': use reported"
    ]
    assert not list(vocabulary.findings("b.py", "# told\n"))


def test_a_misspelt_key_of_a_term_is_an_error() -> None:
    with pytest.raises(ValueError, match="exept"):
        Term.of({"words": ["told"], "use": "reported", "exept": []})


@pytest.mark.parametrize(
    "sentence",
    [
        # The examples of what to avoid.
        "what was read 9 s ago, and what was sent",
        "Redis came back as another, or with less",
        "another goald acts, and this one stands by",
        "The shard was last heard of 8 s ago",
        "Nobody reads the streams that were left.",
        "Where the lease is lost, the flow ends.",
        "It waits, and goes on with the next batch.",
        "The letter is buried after five tries.",
        "A lane hands over each part.",
        "The shard settles the group and begins again.",
        "Raises NotFound where the key holds no stream.",
        "Read each stream (design 2, step 1).",
        "The endpoints of 3.2 (3.2, R13).",
        "A client may read one at once.",
    ],
)
def test_the_list_finds_the_private_language(sentence: str) -> None:
    assert list(Vocabulary.load().findings("src/goald/a.py", f'"""{sentence}"""\n'))


@pytest.mark.parametrize(
    "sentence",
    [
        "Events read 9 s ago have not been processed.",
        "Redis was replaced or lost data (D10).",
        "Standby: instance host-a:16941 is active.",
        "Shard 1: no heartbeat for 8 s.",
        "The dispatcher sends each batch, and continues after the last acknowledged entry.",
        "The event is dead-lettered after five delivery attempts; `goald dead list` shows the "
        "dead letter.",
        "Returns None if no lease exists. Raises NotFound if the key holds no stream.",
        "The publisher tries again until Redis accepts the message.",
        "What does goald read?",
        "A part of the event is kept in `trigger_event`.",
        "Ids are 1 to 255 characters: letters, digits and dashes.",
        "Redis 6.2 or newer, Python 3.11 to 3.14, and goald 0.1 (3.11).",
    ],
)
def test_the_list_allows_the_words_of_the_field(sentence: str) -> None:
    assert not list(Vocabulary.load().findings("src/goald/a.py", f'"""{sentence}"""\n'))


def test_the_list_keeps_to_its_form(tmp_path: Path) -> None:
    """Every term loads, and says what to write instead."""
    vocabulary = Vocabulary.load()

    assert len(vocabulary.terms) > 50
    assert all(term.use for term in vocabulary.terms)
