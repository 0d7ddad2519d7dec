"""Which files changed, for checks that are too slow for all of them."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def git_lines(*arguments):
    """Lines that git prints, or None where it cannot tell (no repository, no such commit)."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.splitlines() if done.returncode == 0 else None


def all_sources():
    return git_lines("ls-files", "--cached", "--others", "--exclude-standard", "--", "*.cc", "*.h") or []


def landed_commit():
    """Where this line of work left origin's main; None where there is no origin, or nothing of our own since."""
    base = git_lines("merge-base", "HEAD", "origin/main")
    return base[0] if base and base != git_lines("rev-parse", "HEAD") else None


def changed_since(commit):
    """Files that differ from a commit, uncommitted and new ones included; None where git cannot tell."""
    changed = git_lines("diff", "--name-only", "--diff-filter=d", commit)
    untracked = git_lines("ls-files", "--others", "--exclude-standard")
    if changed is None or untracked is None:
        return None
    return sorted(set(changed) | set(untracked))


def changed_sources():
    """C++ files that differ from what landed last, or else from the commit before; all where git cannot tell."""
    files = changed_since(landed_commit() or "HEAD~1")
    if files is None:
        return all_sources()
    return [name for name in files if name.endswith((".cc", ".h")) and (ROOT / name).exists()]
