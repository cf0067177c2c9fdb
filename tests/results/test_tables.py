"""The docs print the tables that the code declares."""

from pathlib import Path

import jsonschema
import synthetic

import results
from results import records
from results.records import TABLES

README = Path(results.__file__).parent / "README.md"


def test_the_readme_prints_the_declared_columns():
    assert records.tables_markdown() in README.read_text(), (
        "results/README.md is not true any more; paste records.tables_markdown() into it"
    )


def test_every_column_says_what_it_means():
    for columns in TABLES.values():
        for column in columns:
            assert column.meaning, column.name
            assert (column.name.endswith("_s") and column.unit == "s") or column.unit in ("", "B")


def test_a_header_meets_the_published_schema(tmp_path):
    path = results.Run(synthetic.steady(replications=1)).save(tmp_path)
    schema = results.record_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    import json

    jsonschema.validate(json.loads((path / "run.json").read_text()), schema)
