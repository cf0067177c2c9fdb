"""The package's names are there when asked for, and cost nothing before."""

import subprocess
import sys

import jsonschema
import pytest

import results


def test_every_public_name_is_there():
    for name in results.__all__:
        assert getattr(results, name) is not None, name
    assert callable(results.compare)


def test_importing_the_package_loads_nothing_heavy():
    program = "import sys, results; print({'numpy', 'pydantic', 'pyarrow'} & set(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert run.stdout.strip() == "set()", run.stderr


def test_names_that_are_not_there_are_refused():
    assert not hasattr(results, "nothing")


@pytest.mark.parametrize("command", ["simulate", "load", "compare", "validate"])
def test_every_document_has_a_schema(command):
    schema = results.document_schema(command)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["description"].endswith("--json`.")
