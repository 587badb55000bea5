"""Provenance in throwaway git repositories: complete, the same for two processes, without secrets or a host."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from notafluke import environments
from notafluke.environments import describe, environment_file, main, read_environment, store_environment
from notafluke.provenance import RECORDED_PACKAGES, provenance

CONTENT = {
    "config": {"model": {"hidden_size": 4}},
    "data": {"package": "arch", "version": "8.0.0"},
    "code": "ab" * 32,
    "torch": "2.13.0",
    "numpy": "2.4.0",
    "device": "cpu",
}
TRACKED = {
    "train.py": b"print('training')\n" * 20,
    "latin.txt": "Gr\u00fc\u00dfe\n".encode("latin-1"),
    "weights.bin": bytes(range(256)),
    "gone.py": b"print('gone')\n",
    "requirements.lock": b"torch==2.13.0\n",
    ".gitignore": b"results/\nignored.py\n",
}
RESULTS = Path("results")


def git(folder: Path, *arguments: str, **options: Any) -> bytes:
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    author = ("-c", "user.name=tester", "-c", "user.email=tester@example.org", "-c", "commit.gpgsign=false")
    return subprocess.run(
        ["git", *author, *arguments], cwd=folder, env=own, check=True, capture_output=True, **options
    ).stdout


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with a commit, which is the working folder."""
    if shutil.which("git") is None:
        pytest.skip("needs git")
    folder = tmp_path.resolve() / "project"
    folder.mkdir()
    for name, content in TRACKED.items():
        (folder / name).write_bytes(content)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "a checkout")
    monkeypatch.chdir(folder)
    return folder


def edit(folder: Path) -> None:
    """Change text, text that is not UTF-8 and bytes, delete a file, and add some."""
    (folder / "train.py").write_bytes(TRACKED["train.py"].replace(b"training", b"trained", 1))
    (folder / "latin.txt").write_bytes("Gr\u00fc\u00dfe und K\u00fcsse\n".encode("latin-1"))
    (folder / "weights.bin").write_bytes(bytes(reversed(range(256))))
    (folder / "gone.py").unlink()
    (folder / "staged.py").write_text("print('staged')\n", encoding="utf-8")
    git(folder, "add", "staged.py")
    others = ("own.py", "notes.txt", "ignored.py", ".hidden/own.py", "results/runs/config.yaml", "conf/study/mine.yaml")
    for name in others:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"# {name}\n", encoding="utf-8")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def code() -> dict[str, Any]:
    """What is stored of the code."""
    found = read_environment(RESULTS, store_environment(RESULTS))
    assert found is not None
    return found["code"]


def test_facts_of_a_clean_checkout(repository: Path) -> None:
    import torch

    found = provenance(RESULTS, CONTENT)
    assert found["git_commit"] == git(repository, "rev-parse", "HEAD").decode().strip()
    assert found["git_dirty"] is False
    assert found["lock"] == sha256(TRACKED["requirements.lock"])
    assert found["config"] == sha256(b'{"model": {"hidden_size": 4}}')
    assert (found["code"], found["data"], found["gpu"], found["data_digest"]) == ("ab" * 32, CONTENT["data"], "", "")
    assert found["threads"] == torch.get_num_threads() >= 1
    assert found["packages"] == {name: version(name) for name in RECORDED_PACKAGES}
    if (models := Path("/proc/cpuinfo")).exists() and "model name" in models.read_text(encoding="utf-8"):
        assert f": {found['cpu']}\n" in models.read_text(encoding="utf-8")
    assert found["cpu"]
    full = read_environment(RESULTS, found["environment"])
    assert full is not None
    assert full["code"] == {"commit": found["git_commit"], "diff": "", "changed": {}, "untracked": {}}
    assert full["packages"]["torch"] == version("torch") and full["packages"]["pyyaml"] == version("PyYAML")
    assert len(full["packages"]) > 50
    assert full["python"]["version"] == platform.python_version()


def test_a_record_says_what_the_prepared_data_are(repository: Path) -> None:
    (repository / "results" / "data").mkdir(parents=True)
    (repository / "results" / "data" / "provenance.json").write_text('{"sha256": {"arrays.npz": "cd"}}')
    assert provenance(RESULTS, CONTENT, prepared=RESULTS / "data")["data_digest"] == "cd"


def test_the_diff_brings_back_every_byte(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    edit(repository)
    found = provenance(RESULTS, CONTENT)
    assert found["git_dirty"] is True
    full = read_environment(RESULTS, found["environment"])
    assert full is not None
    file = environment_file(RESULTS, found["environment"])
    monkeypatch.setattr(sys, "argv", ["environments", str(file)])
    main()
    sys.stdout.flush()
    patch = capfdbinary.readouterr().out
    elsewhere = tmp_path / "elsewhere"
    git(tmp_path, "clone", "--quiet", str(repository), str(elsewhere))
    git(elsewhere, "apply", "-", input=patch)
    for name in ("train.py", "latin.txt", "weights.bin", "staged.py"):
        assert (elsewhere / name).read_bytes() == (repository / name).read_bytes(), name
    assert not (elsewhere / "gone.py").exists()
    assert set(full["code"]["changed"]) == {"train.py", "latin.txt", "weights.bin", "staged.py", "gone.py"}
    assert full["code"]["changed"]["weights.bin"] == sha256(bytes(reversed(range(256))))
    assert full["code"]["changed"]["gone.py"] == ""


def test_untracked_sources_are_named(repository: Path) -> None:
    edit(repository)
    names = {"own.py", "conf/study/mine.yaml"}
    assert code()["untracked"] == {name: sha256(f"# {name}\n".encode()) for name in names}
    # As source text alone, without its content.
    assert "# own.py" not in environment_file(RESULTS, store_environment(RESULTS)).read_text(encoding="utf-8")


def test_results_of_another_name_are_no_sources(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that trains a run again has a folder of results of its own, but the same surroundings."""
    config = repository / "outcomes" / "runs" / "config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text("a: 1\n", encoding="utf-8")
    recorded = describe(Path("outcomes"))["code"]
    assert recorded["untracked"] == {} and describe(RESULTS)["code"] != recorded
    monkeypatch.setattr(environments, "_other_results", [])
    environments.leave_out([config.parents[1]])
    assert describe(repository.parent / "place")["code"] == recorded


def test_what_lies_outside_the_working_folder_is_nobodys_business(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / "inner").mkdir()
    (repository / "inner" / "own.py").write_text("1\n", encoding="utf-8")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "inner")
    monkeypatch.chdir(repository / "inner")
    (repository / "train.py").write_text("print('elsewhere')\n", encoding="utf-8")
    assert provenance(RESULTS, CONTENT)["git_dirty"] is False
    assert code()["diff"] == "" and code()["changed"] == {}
    (repository / "inner" / "own.py").write_text("2\n", encoding="utf-8")
    assert provenance(RESULTS, CONTENT)["git_dirty"] is True
    assert "elsewhere" not in code()["diff"] and set(code()["changed"]) == {"own.py"}


@pytest.mark.parametrize("case", ["no git", "no repository"])
def test_without_git_nothing_is_said(repository: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    if case == "no git":
        monkeypatch.setenv("PATH", str(repository / "nowhere"))
    else:
        shutil.rmtree(repository / ".git")
        monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(repository.parent))
    edited = {"commit": "", "diff": "", "changed": {}, "untracked": {}}
    found = provenance(RESULTS, CONTENT)
    assert (found["git_commit"], found["git_dirty"]) == ("", False)
    assert code() == edited


def test_secrets_are_taken_out(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_API_TOKEN", "tok-9f8e7d6c5b")
    monkeypatch.setenv("MY_SETTING", "an-innocent-value")
    text = "token = 'tok-9f8e7d6c5b'\nuri = 'postgresql://me:hunter22@db.example.org/runs'\n"
    (repository / "train.py").write_text(text, encoding="utf-8")
    (repository / "tok-9f8e7d6c5b.py").write_text(text, encoding="utf-8")
    found = provenance(RESULTS, CONTENT)
    stored = environment_file(RESULTS, found["environment"]).read_text(encoding="utf-8")
    assert "db.example.org" in stored, "the diff is there"
    for secret in ("tok-9f8e7d6c5b", "hunter22", "an-innocent-value", "MY_SETTING"):
        assert secret not in stored + json.dumps(found)


def test_two_processes_in_the_same_state_store_the_same_file_and_none_names_its_host(
    repository: Path, tmp_path: Path
) -> None:
    edit(repository)
    digest = store_environment(RESULTS)
    file = environment_file(RESULTS, digest)
    before = file.stat()

    # Another user with another home and other settings of git, in the same checkout.
    home = tmp_path / "home-of-someone"
    home.mkdir()
    settings = {
        "safe": ["directory = *"],
        "diff": ["noprefix = true", "mnemonicPrefix = true", "context = 9", "algorithm = patience", "renames = copies"],
        "color": ["ui = always"],
        "core": ["quotePath = false"],
    }
    lines = [line for section, own in settings.items() for line in (f"[{section}]", *own)]
    external = f"[diff]\nexternal = {sys.executable}\n"
    (home / ".gitconfig").write_text("\n".join(lines) + "\n" + external, encoding="utf-8")
    own = os.environ | {
        "HOME": str(home),
        "USER": "someone",
        "LOGNAME": "someone",
        "HOSTNAME": "somewhere",
        "TZ": "Asia/Tokyo",
    }
    program = (
        "from pathlib import Path; from notafluke.environments import *; print(store_environment(Path('results')))"
    )
    done = subprocess.run([sys.executable, "-c", program], env=own, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest
    after = file.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns), "it is written once"
    assert [path.name for path in file.parent.iterdir()] == [f"{digest[:16]}.json"]

    record = provenance(RESULTS, CONTENT)
    text = file.read_text(encoding="utf-8") + json.dumps(record)
    names = {str(repository), str(Path.home()), sys.prefix, platform.node(), getpass.getuser()} - {"root", "/", "/root"}
    for name in names:
        assert len(name) < 4 or name not in text, name


def test_the_file_is_what_its_name_says_or_is_written_again(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = store_environment(RESULTS)
    file = environment_file(RESULTS, digest)
    content = file.read_bytes()
    assert sha256(content) == digest and file.name == f"{digest[:16]}.json"
    for damage in (b"", content[:-2], content.replace(b'"changed"', b'"chanced"')):
        file.write_bytes(damage)
        assert read_environment(RESULTS, digest) is None
        monkeypatch.setattr(sys, "argv", ["environments", str(file)])
        with pytest.raises(SystemExit) as refused:
            main()
        assert refused.value.code == 2 and "is damaged" in capsys.readouterr().err
        assert store_environment(RESULTS) == digest
        assert file.read_bytes() == content
    assert read_environment(RESULTS, "0" * 64) is None


def test_a_long_diff_is_cut_and_says_so(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "DIFF_LIMIT", 1000)
    lines = [f"line {number}\n" for number in range(1000)]
    (repository / "train.py").write_text("".join(lines), encoding="utf-8")
    first = describe(RESULTS)["code"]
    assert 0 < len(first["diff"]) <= 1000 and first["diff"].endswith("\n") and "cut" in first["note"]
    # The end that was cut off still tells two states apart.
    (repository / "train.py").write_text("".join([*lines, "one more\n"]), encoding="utf-8")
    second = describe(RESULTS)["code"]
    assert second["diff"].splitlines()[5:] == first["diff"].splitlines()[5:]
    assert second["changed"] != first["changed"]


def test_a_gpu_is_named_with_its_capability(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is none here, so torch is asked in place of one."""
    import torch

    asked: list[str] = []
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: asked.append(device) or "NVIDIA H100")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: asked.append(device) or (9, 0))
    assert provenance(RESULTS, {**CONTENT, "device": "cuda"}, "cuda:1")["gpu"] == "NVIDIA H100, 9.0"
    assert provenance(RESULTS, {**CONTENT, "device": "cuda"})["gpu"] == "NVIDIA H100, 9.0"
    assert asked == ["cuda:1", "cuda:1", "cuda", "cuda"]
