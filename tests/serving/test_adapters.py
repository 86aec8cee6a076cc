"""Adapter folders: names, publishing, deleting."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving import adapters

NAME = "0123456789abcdef-v0001"


@pytest.fixture
def candidate(tmp_path: Path) -> Path:
    folder = tmp_path / "staging" / NAME
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text("{}")
    (folder / "adapter_model.safetensors").write_bytes(b"12345")
    return folder


@pytest.fixture
def published_dir(tmp_path: Path) -> Path:
    return tmp_path / "adapters"


def test_names_sort_by_version_and_keep_growing() -> None:
    assert adapters.adapter_name("0123456789abcdef", 1) == NAME
    assert adapters.adapter_name("0123456789abcdef", 12345) == "0123456789abcdef-v12345"


@pytest.mark.parametrize("user_id", ["", "../evil", "UPPER1234", "a b c d e f", "short", "x" * 41, "12345678\n"])
def test_name_that_could_leave_the_folder_is_refused(user_id: str) -> None:
    with pytest.raises(ValueError, match="user id"):
        adapters.adapter_name(user_id, 1)


def test_published_adapter_is_whole_and_the_candidate_is_gone(candidate: Path, published_dir: Path) -> None:
    folder = adapters.publish(candidate, published_dir, NAME)
    assert sorted(file.name for file in folder.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    assert not candidate.exists()
    assert adapters.size_bytes(folder) == 7


def test_name_is_never_published_twice(candidate: Path, published_dir: Path) -> None:
    (published_dir / NAME).mkdir(parents=True)
    with pytest.raises(FileExistsError, match="published before"):
        adapters.publish(candidate, published_dir, NAME)
    assert candidate.is_dir()


def test_folder_without_an_adapter_is_not_published(tmp_path: Path, published_dir: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(FileNotFoundError):
        adapters.publish(empty, published_dir, NAME)
    assert not (published_dir / NAME).exists()


def test_deleting_twice_is_fine_and_strange_names_touch_nothing(candidate: Path, published_dir: Path) -> None:
    adapters.publish(candidate, published_dir, NAME)
    outside = published_dir.parent / "precious"
    outside.mkdir()
    adapters.delete(published_dir, "../precious")
    adapters.delete(published_dir, "")
    assert outside.is_dir()
    adapters.delete(published_dir, NAME)
    adapters.delete(published_dir, NAME)
    assert list(published_dir.iterdir()) == []


def test_only_users_adapters_that_nobody_keeps_are_removed(published_dir: Path) -> None:
    kept, orphan, half_deleted, strange = (
        published_dir / name for name in (NAME, "0123456789abcdef-v0002", f".deleted-{NAME}x", "primer")
    )
    for folder in (kept, orphan, half_deleted, strange):
        folder.mkdir(parents=True)
    assert adapters.remove_others(published_dir, keep={NAME}) == [orphan.name]
    assert sorted(folder.name for folder in published_dir.iterdir()) == [NAME, "primer"]


def test_no_folder_of_adapters_yet_is_fine(tmp_path: Path) -> None:
    assert adapters.remove_others(tmp_path / "none", keep=set()) == []
