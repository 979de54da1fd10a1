"""The structure check finds full folders, long constructors and repeated class names."""

from scripts.checks.structure import MAX_FILES, MAX_PARAMETERS, findings


def sources(count: int, folder: str = "src/goald/shard") -> dict[str, str]:
    return {f"{folder}/m{n}.py": "" for n in range(count)}


def constructor(parameters: int, star: str = "") -> dict[str, str]:
    names = ", ".join(f"p{n}" for n in range(parameters))
    return {"src/goald/a.py": f"class A:\n    def __init__(self, {star}{names}): ...\n"}


def test_finds_a_folder_with_too_many_files() -> None:
    assert not list(findings(sources(MAX_FILES)))
    (line,) = findings(sources(MAX_FILES + 1))
    assert line.startswith("src/goald/shard: 16 source files, at most 15")


def test_data_and_migrations_do_not_count() -> None:
    data = {f"docs/decisions/{n}.md": "" for n in range(40)}

    assert not list(findings(data))
    assert not list(findings(sources(40, "src/goald/migrations/versions")))


def test_subfolders_do_not_count() -> None:
    assert not list(findings(sources(MAX_FILES) | sources(MAX_FILES, "src/goald/shard/poison")))


def test_finds_a_constructor_with_too_many_parameters() -> None:
    assert not list(findings(constructor(MAX_PARAMETERS)))
    (line,) = findings(constructor(MAX_PARAMETERS + 1, star="*, "))
    assert line.startswith("src/goald/a.py:2: the constructor of A has 8 parameters")


def test_finds_a_class_name_that_is_defined_twice() -> None:
    (line,) = findings({"src/goald/a.py": "class A: ...\n", "src/goald/b.py": "\nclass A: ...\n"})

    assert line.startswith("src/goald/b.py:2: class A is already defined at src/goald/a.py:1")


def test_class_names_of_tests_may_repeat() -> None:
    assert not list(findings({"tests/a.py": "class A: ...\n", "tests/b.py": "class A: ...\n"}))
