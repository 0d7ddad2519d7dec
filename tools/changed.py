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


def changed_files():
    """Files that differ from what was landed last: uncommitted ones and those of HEAD's line since origin's main, or
    since the commit before where there is no origin. None where git cannot tell."""
    base = None
    for candidate in ("origin/main", "origin/HEAD", "HEAD~1"):
        found = git_lines("merge-base", "HEAD", candidate)
        head = git_lines("rev-parse", "HEAD")
        # A clone whose main is its origin's main has nothing of its own: then the last commit is what changed.
        if found and (candidate == "HEAD~1" or found != head):
            base = found[0]
            break
    if base is None:
        return None
    changed = git_lines("diff", "--name-only", "--diff-filter=d", base)
    untracked = git_lines("ls-files", "--others", "--exclude-standard")
    if changed is None or untracked is None:
        return None
    return sorted(set(changed) | set(untracked))


def changed_sources():
    """C++ files among them; all of them where git cannot tell."""
    files = changed_files()
    if files is None:
        return all_sources()
    return [name for name in files if name.endswith((".cc", ".h")) and (ROOT / name).exists()]
