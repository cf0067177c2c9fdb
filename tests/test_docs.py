"""What the docs tell people to type exists: `gridlab` command lines parse, links lead somewhere."""

import itertools
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


def command_spans():
    """The same in running text and in tables."""
    for page in PAGES:
        for text in re.findall(r"`(gridlab [a-z][^`]*)`", page.read_text()):
            yield pytest.param(text, id=f"{page.name}: {text[:60]}")


def all_commands(group=gridlab.cli, words=("gridlab",)):
    """Every command with its words, groups left out."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from all_commands(command, (*words, name))
        else:
            yield " ".join((*words, name)), command


def command_examples():
    """The examples that commands show with --help."""
    for name, command in [("gridlab", gridlab.cli), *all_commands()]:
        for line in (command.help or "").splitlines():
            if re.match(r"gridlab [a-z]", line.strip()):
                yield pytest.param(line.strip(), id=f"{name}: {line.strip()[:60]}")


def typed(line):
    """The words of the first command of a line, the program left out."""
    words = shlex.split(line.split("   ")[0], comments=True)
    return list(itertools.takewhile(lambda word: word not in ("&&", ">"), words))[1:]


@pytest.mark.parametrize("line", [*command_lines(), *command_spans(), *command_examples()])
def test_a_command_line_of_the_docs_parses(line):
    """Names of commands and options are right; files that it names need not be there."""
    words = typed(line)
    if words[0] == "COMMAND":
        return
    command: click.Command = gridlab.cli
    while isinstance(command, click.Group) and words:
        assert words[0] in command.commands, f"{words[0]} is no command"
        command, words = command.commands[words[0]], words[1:]
    known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
    known |= {"--help", "-h"}
    assert {word.split("=")[0] for word in words if word.startswith("--")} <= known


def test_the_contents_name_every_command():
    named = gridlab.cli.list_commands(click.Context(gridlab.cli))
    assert sorted(named) == sorted(gridlab.cli.commands)


QUICK = ("init", "check", "list", "schema", "estimate", "trust")


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if re.search(r"^    (\.venv/bin/)?gridlab ", page.read_text(), re.M)],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_quick_commands_of_a_page_run_one_after_another(page, tmp_path, monkeypatch):
    """As they are typed, each with the files that those before it wrote."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRIDLAB_RUNS", str(tmp_path / "results" / "runs"))
    lines = [each.values[0] for each in command_lines() if each.id.startswith(f"{page.name}: ")]
    own = page.read_text().replace("\\\n", " ")
    for line in dict.fromkeys(lines):
        words = typed(line)
        if words[0] not in QUICK or line.split("   ")[0] not in own:
            continue
        given = words[2:] if words[0] == "init" else words[1:]  # what init names, it writes
        if all(Path(word).exists() for word in given if re.search(r"\.yaml$|/", word)):
            run = CliRunner().invoke(gridlab.cli, words)
            assert run.exit_code == 0, (line, run.output, run.exception)


# Options of Locust and of its door in loadtest/locustfile.py, and of the tests' own scripts.
FOREIGN = {"--host", "--replication", "--processes", "--master", "--worker", "--headless"}
FOREIGN |= {"--grid", "--minutes"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_an_option_that_a_page_speaks_of_exists(page):
    known = {option for _, command in all_commands() for each in command.params
             for option in (*each.opts, *each.secondary_opts)}  # fmt: skip
    spoken = {
        option
        for span in re.findall(r"`([^`\n]+)`", page.read_text())
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", span)
    }
    assert spoken - known - FOREIGN - {"--help"} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_makes_can_be_made(page):
    """`make TARGET` and `python tests/SCRIPT.py` name what there is, and so does `ONLY=`."""
    text, makefile = page.read_text(), (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:^    |`)make ([a-z]+)", text, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target
    for script in re.findall(r"python (tests/[a-z_/]+\.py)", text):
        assert (ROOT / script).is_file(), script
    proofs = {each["name"] for each in yaml.safe_load((ROOT / "tests/proofs.yaml").read_text())}
    for names in re.findall(r"make prove ONLY=\"?([a-z0-9 -]+)", text):
        assert set(names.split()) <= proofs, names


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
