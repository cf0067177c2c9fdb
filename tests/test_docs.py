"""What the docs tell people to type exists: `gridlab` command lines parse, links lead somewhere."""

import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

import gridlab

ROOT = Path(__file__).parent.parent
TRACKED = subprocess.run(
    ["git", "ls-files", "*.md"], capture_output=True, text=True, cwd=ROOT, check=True, timeout=60
).stdout
PAGES = [ROOT / name for name in TRACKED.splitlines()]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)#\s]+)[^)]*\)")
WORKFLOWS = sorted((ROOT / "docs" / "workflows").glob("*.yml"))


def command_lines():
    """Indented or fenced lines that begin with the program, without comments."""
    for page in [*PAGES, *WORKFLOWS]:
        fenced = False
        for line in page.read_text().replace("\\\n", " ").splitlines():
            if line.startswith("```"):
                fenced = not fenced
            text = line.strip().removeprefix("- run: ").removeprefix("- ")
            shown = fenced or line.startswith("    ") or page.suffix == ".yml"
            if shown and re.match(r"(\.venv/bin/)?gridlab [a-z]", text):
                yield pytest.param(text, id=f"{page.name}: {text[:60]}")


@pytest.mark.parametrize("line", list(command_lines()))
def test_a_command_line_of_the_docs_parses(line):
    """Names of commands and options are right; files that it names need not be there."""
    words = shlex.split(line.split("   ")[0].split(" && ")[0], comments=True)[1:]
    if words[0] == "COMMAND":
        return
    command: click.Command = gridlab.cli
    while isinstance(command, click.Group):
        assert words[0] in command.commands, f"{words[0]} is no command"
        command, words = command.commands[words[0]], words[1:]
    known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
    known |= {"--help", "-h"}
    assert {word.split("=")[0] for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_our_files_lead_somewhere(page):
    for target in LINK.findall(page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_is_yaml_and_runs_the_gate(workflow):
    yaml.safe_load(workflow.read_text())
    assert "gridlab regress --base" in workflow.read_text()


CONSOLE = re.compile(r"```console\n(.*?)```", re.DOTALL)
NUMBER = re.compile(r"\d[\d,]*\.?\d*")


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "```console" in page.read_text()], ids=lambda page: page.stem
)
def test_what_a_page_shows_is_what_the_commands_print(page, tmp_path, monkeypatch):
    """Commands of ```console blocks run one after another; `...` stands for what was left out.

    Numbers may differ in the last printed digit, which another machine may round the other way.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("GRIDLAB_RUNS", str(tmp_path))
    for block in CONSOLE.findall(page.read_text()):
        for part in block.split("$ ")[1:]:
            command, _, shown = part.partition("\n")
            run = CliRunner().invoke(gridlab.cli, shlex.split(command)[1:])
            assert run.exit_code == 0, run.output
            printed = [line.rstrip() for line in run.stdout.splitlines()]
            wanted = [line.rstrip() for line in shown.splitlines()]
            if wanted[-1] == "...":
                printed, wanted = printed[: len(wanted) - 1], wanted[:-1]
            assert [NUMBER.sub("#", line) for line in printed] == [
                NUMBER.sub("#", line) for line in wanted
            ]
            for one, other in zip(
                NUMBER.findall("\n".join(printed)), NUMBER.findall("\n".join(wanted)), strict=True
            ):
                digit = 1.01 * 10.0 ** -len(other.partition(".")[2])
                figures = [float(text.replace(",", "")) for text in (one, other)]
                assert figures[0] == pytest.approx(figures[1], abs=digit)


def test_there_is_a_page_for_each_kind_of_user():
    """And each begins with a command and what it prints."""
    for name in ("architect", "researcher", "continuous-integration"):
        text = (ROOT / "docs" / f"{name}.md").read_text()
        assert -1 < text.index("```console") < 1200
        assert f"docs/{name}.md" in (ROOT / "README.md").read_text()
