"""`make prove [ONLY="name ..."]`: run the long proofs that are out of date, keep what they print.

A proof is a command of `tests/proofs.yaml` that prints one JSON document. It is up to date when the
code that it speaks of has not changed since; so a stopped `make prove` goes on where it stopped.
What was stored is replaced only by a proof that ended well, of code that is committed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "results" / "reference"
LIMIT_S = 4 * 3600.0


@dataclass(frozen=True)
class Proof:
    """One entry of `tests/proofs.yaml`; exits other than `exit_codes` are failures."""

    name: str
    command: str
    speaks_of: tuple[str, ...]
    may_lag: int
    exit_codes: tuple[int, ...] = (0,)

    @property
    def path(self) -> Path:
        """Where what it printed is kept."""
        return REFERENCE / f"{self.name}.json"

    def files(self) -> list[Path]:
        """The code that it speaks of; of a directory, all that git would keep."""
        found = {path for pattern in self.speaks_of for path in ROOT.glob(pattern)}
        within = {path for place in found if place.is_dir() for path in place.rglob("*")}
        return sorted(path for path in found | within if path.is_file() and path.suffix != ".pyc")

    def digest(self) -> str:
        """Hash of that code as it is now."""
        total = hashlib.sha256()
        for path in self.files():
            total.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
        return total.hexdigest()

    def stored(self) -> dict[str, object] | None:
        """What is kept of it, if anything is."""
        return json.loads(self.path.read_text()) if self.path.is_file() else None

    def uncommitted(self) -> list[str]:
        """Files of that code which are not as in the last commit, new and removed ones, too."""
        patterns = [f":(glob){pattern}" for pattern in self.speaks_of]
        listed = git("status", "--porcelain", "--untracked-files=all", "--", *patterns)
        return [line[3:] for line in listed.splitlines()]

    def lag(self) -> int:
        """Commits to its code since the one that it was made at."""
        kept = self.stored()
        assert kept is not None
        if kept["digest"] == self.digest():
            return 0
        names = [str(path.relative_to(ROOT)) for path in self.files()]
        listed = git("rev-list", f"{kept['commit']}..HEAD", "--", *names)
        return len(listed.split())


def proofs() -> list[Proof]:
    """All proofs, in the file's order."""
    entries = yaml.safe_load((ROOT / "tests" / "proofs.yaml").read_text())
    return [
        Proof(**{key: tuple(v) if isinstance(v, list) else v for key, v in entry.items()})
        for entry in entries
    ]


def named(name: str) -> Proof:
    """One of them."""
    return next(proof for proof in proofs() if proof.name == name)


def git(*arguments: str) -> str:
    """What git prints."""
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def prove(proof: Proof) -> bool:
    """Run a proof and keep what it printed; whether it ended well.

    It is refused where its code is not committed, and nothing is kept where its code has changed
    meanwhile: what is stored names a commit at which it can be made again.
    """
    if changed := proof.uncommitted():
        print(f"{proof.name}: commit first: not as in the last commit: {', '.join(changed)}")
        return False
    commit, code = git("rev-parse", "HEAD").strip(), proof.digest()
    print(f"{proof.name}: {proof.command}", flush=True)
    started_s = time.monotonic()
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    run = subprocess.run(
        shlex.split(proof.command), stdout=subprocess.PIPE, text=True, check=False, cwd=ROOT,
        timeout=LIMIT_S, env={**os.environ, "PATH": path},
    )  # fmt: skip
    took_s = time.monotonic() - started_s
    if run.returncode not in proof.exit_codes:
        print(f"{proof.name}: ended with {run.returncode} after {took_s:.0f} s; nothing is kept")
        return False
    if proof.digest() != code:
        print(f"{proof.name}: its code has changed meanwhile; nothing is kept")
        return False
    from results import environment

    kept = {
        "name": proof.name,
        "command": proof.command,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit,
        "digest": code,
        "machine": environment.machine(),
        "took_s": round(took_s, 1),
        "document": json.loads(run.stdout),
    }
    REFERENCE.mkdir(exist_ok=True)
    draft = proof.path.with_suffix(".partial")
    draft.write_text(json.dumps(kept, indent=1) + "\n")
    draft.replace(proof.path)
    print(f"{proof.name}: kept after {took_s:.0f} s", flush=True)
    return True


def main(only: list[str]) -> int:
    """Run what is asked for, else all that is out of date."""
    known = {proof.name: proof for proof in proofs()}
    if unknown := [name for name in only if name not in known]:
        print(f"no proof is called {', '.join(unknown)}; there are {', '.join(known)}")
        return 2
    wanted = [known[name] for name in only] or [
        proof
        for proof in known.values()
        if (kept := proof.stored()) is None or kept["digest"] != proof.digest()
    ]
    failed = [proof.name for proof in wanted if not prove(proof)]
    print(f"{len(wanted) - len(failed)} of {len(wanted)} proofs made" if wanted else "up to date")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
