"""Shells complete commands, options and topologies, as the README tells people to set it up."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A directory with the program in it, under its own name."""
    program = tmp_path_factory.mktemp("bin") / "gridlab"
    program.write_text(f"#!{sys.executable}\nimport gridlab\ngridlab.main()\n")
    program.chmod(0o755)
    return program.parent


def shell(home: Path, *command: str, **environment: str) -> str:
    kept = {
        **os.environ,
        "PATH": f"{home}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        **environment,
    }
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, env=kept, cwd=home)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_the_readme_says_how_to_set_it_up(name):
    assert f'eval "$(_GRIDLAB_COMPLETE={name}_source gridlab)"' in README


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("gridlab simu", ["simulate"]),
        ("gridlab grid d", ["down"]),
        ("gridlab simulate --prec", ["--precision"]),
        ("gridlab check camp", ["campus-nac"]),
        ("gridlab simulate s", ["single-broker", "switches"]),
    ],
)
def test_bash_completes(words, completed, home):
    """The script that click prints, sourced by a real bash, and asked as readline would."""
    last = len(words.split()) - 1
    script = (
        'eval "$(_GRIDLAB_COMPLETE=bash_source gridlab)"; complete -p gridlab >/dev/null; '
        f"COMP_WORDS=({words}); COMP_CWORD={last}; _gridlab_completion gridlab; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    assert shell(home, "bash", "-c", script).split() == completed


def test_zsh_is_answered_in_its_own_form(home):
    """Type, value and help of each, a line each; the script hands them to zsh's own functions."""
    script = shell(home, "gridlab", _GRIDLAB_COMPLETE="zsh_source")
    assert script.startswith("#compdef gridlab")
    assert "compdef _gridlab_completion gridlab" in script
    asked = {"COMP_WORDS": "gridlab estima", "COMP_CWORD": "1"}
    answer = shell(home, "gridlab", _GRIDLAB_COMPLETE="zsh_complete", **asked).splitlines()
    assert answer[:2] == ["plain", "estimate"]
    assert re.match(r"Answer on paper", answer[2])


def test_where_no_topology_begins_so_files_are_completed(home):
    asked = {"COMP_WORDS": "gridlab check ./mi", "COMP_CWORD": "2"}
    answer = shell(home, "gridlab", _GRIDLAB_COMPLETE="bash_complete", **asked)
    assert answer.split() == ["file,./mi"]
