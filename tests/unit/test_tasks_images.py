"""Folders and archives of images: what is read, what is refused, and that nothing is left out unseen."""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from notafluke.errors import UsageError
from notafluke.tasks.images import UNDECIDED, places, read_images

GREY = np.array([[0, 51], [102, 255], [7, 8]], dtype=np.uint8)
"""Height 3, width 2."""


def encoded(pixels: NDArray[Any], form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=form, **options)
    return buffer.getvalue()


def folder_of(root: Path, files: dict[str, bytes]) -> str:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return str(root)


def zip_of(path: Path, files: dict[str, bytes]) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return str(path)


def several(*names: str) -> dict[str, bytes]:
    """Grey images, each another one."""
    return {name: encoded(GREY + np.uint8(number)) for number, name in enumerate(names)}


def refusal(source: str, size: tuple[int, int] | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        read_images(source, size)
    line = str(caught.value)
    assert "\n" not in line and source in line
    return line


class TestReading:
    def test_three_images(self, tmp_path: Path) -> None:
        """By hand: values, shape, classes by folder, order by name."""
        source = folder_of(
            tmp_path,
            {
                "dog/b.png": encoded(GREY),
                "cat/z.PNG": encoded(255 - GREY),
                "dog/a.png": encoded(GREY // 2),
            },
        )
        found = read_images(source, None)
        assert found.names == ("cat/z.PNG", "dog/a.png", "dog/b.png")
        assert found.class_names == ("cat", "dog") and found.classes.tolist() == [0, 1, 1]
        assert found.pixels.dtype == np.uint8 and found.pixels.shape == (3, 3, 2, 1)
        assert np.array_equal(found.pixels[..., 0], [255 - GREY, GREY // 2, GREY])
        assert found.splits.tolist() == [UNDECIDED] * 3 and found.full_scale == 255

    def test_a_damaged_archive_is_told(self, tmp_path: Path) -> None:
        """The version of the format that an entry of the directory says it needs is 25.5."""
        source = zip_of(tmp_path / "images.zip", several("cat/1.png", "dog/1.png"))
        content = bytearray(Path(source).read_bytes())
        content[content.index(b"PK\x01\x02") + 6] = 255
        Path(source).write_bytes(content)
        assert "expected a folder or a zip archive of images" in refusal(source)

    def test_an_archive_is_read_as_its_folder(self, tmp_path: Path) -> None:
        files = several("train/cat/1.png", "train/dog/1.png", "test/cat/1.png", "test/dog/2.png", "val/dog/9.png")
        folder = read_images(folder_of(tmp_path / "folder", files), None)
        archive = read_images(zip_of(tmp_path / "a.zip", files), None)
        assert folder.names == archive.names and np.array_equal(folder.pixels, archive.pixels)
        by_name = dict(zip(folder.names, folder.splits.tolist(), strict=True))
        assert by_name == {
            "train/cat/1.png": 0, "train/dog/1.png": 0, "val/dog/9.png": 1, "test/cat/1.png": 2, "test/dog/2.png": 2,
        }  # fmt: skip
        assert folder.classes.tolist() == archive.classes.tolist() == [0, 1, 0, 1, 1]

    def test_colour_keeps_its_channels_and_grey_among_it_gets_three(self, tmp_path: Path) -> None:
        colour = np.arange(18, dtype=np.uint8).reshape(3, 2, 3)
        source = folder_of(tmp_path, {"a/1.png": encoded(GREY), "b/1.png": encoded(colour)})
        found = read_images(source, None)
        assert np.array_equal(found.pixels[1], colour)
        assert np.array_equal(found.pixels[0], np.repeat(GREY[..., None], 3, axis=2))
        assert found.facts["grey_among_coloured"] == 1

    def test_a_jpeg_is_what_pillow_decodes(self, tmp_path: Path) -> None:
        smooth = np.linspace(0, 255, 16 * 8 * 3).reshape(16, 8, 3).astype(np.uint8)
        source = folder_of(tmp_path, {"a/1.JPG": encoded(smooth, "JPEG", quality=95), "b/1.png": encoded(smooth)})
        found = read_images(source, None)
        assert np.abs(found.pixels[0].astype(int) - smooth).max() < 20
        with Image.open(tmp_path / "a/1.JPG") as image:
            assert np.array_equal(found.pixels[0], np.asarray(image))

    def test_transparency_and_orientation_are_handled_and_counted(self, tmp_path: Path) -> None:
        clear = np.dstack([np.dstack([GREY] * 3), np.zeros_like(GREY)])
        turned = Image.Exif()
        turned[0x0112] = 6  # to be turned by 90 degrees clockwise
        wide = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.uint8)
        source = folder_of(tmp_path, {"a/1.png": encoded(clear), "b/1.png": encoded(wide, exif=turned)})
        found = read_images(source, None)
        assert np.array_equal(found.pixels[0, ..., 0], GREY)
        assert np.array_equal(found.pixels[1, ..., 0], [[4, 1], [5, 2], [6, 3]])
        assert (found.facts["transparency_left_out"], found.facts["turned_by_exif"]) == (1, 1)

    def test_an_outer_folder_is_told(self, tmp_path: Path) -> None:
        files = several("pets/all/train/cat/1.png", "pets/all/train/dog/1.png", "pets/all/test/cat/1.png")
        found = read_images(zip_of(tmp_path / "a.zip", files), None)
        assert found.class_names == ("cat", "dog") and found.facts["outer_folder"] == "pets/all"
        assert found.splits.tolist() == [2, 0, 0]

    def test_other_files_are_counted(self, tmp_path: Path) -> None:
        others = {"README.txt": b"hello", "a/.DS_Store": b"x", "__MACOSX/a/._1.png": b"x"}
        found = read_images(zip_of(tmp_path / "a.zip", several("a/1.png", "b/1.png") | others), None)
        assert found.names == ("a/1.png", "b/1.png")
        assert (found.facts["other_files_left_out"], found.facts["first_of_them"]) == (3, "README.txt")

    def test_resized_to_what_is_asked_for(self, tmp_path: Path) -> None:
        """Of one value they stay of one value; height comes first."""
        files = {"a/1.png": encoded(np.full((4, 6), 9, np.uint8)), "b/1.png": encoded(np.full((2, 5), 7, np.uint8))}
        found = read_images(folder_of(tmp_path, files), (2, 5))
        assert found.pixels.shape == (2, 2, 5, 1)
        assert (found.pixels[0] == 9).all() and (found.pixels[1] == 7).all()
        assert found.facts["resized"] == 1

    def test_the_same_image_counts_once_and_the_test_keeps_it(self, tmp_path: Path) -> None:
        files = several("train/a/1.png", "train/a/2.png", "train/b/1.png", "test/a/1.png", "test/b/1.png")
        files["train/a/3.png"] = files["test/a/1.png"]
        files["test/b/2.png"] = files["train/a/2.png"]
        found = read_images(folder_of(tmp_path, files), None)
        assert "train/a/3.png" not in found.names and "test/a/1.png" in found.names
        assert len(found.names) == len(found.blocks) == len(found.pixels) == 6
        assert found.facts["duplicates_left_out"] == 1
        assert found.facts["same_image_in_several_classes"] == 1


class TestRefused:
    def test_different_sizes(self, tmp_path: Path) -> None:
        files = {"a/1.png": encoded(GREY), "a/2.png": encoded(GREY[:2]), "b/1.png": encoded(GREY)}
        line = refusal(folder_of(tmp_path, files))
        assert "a/1.png is 3 x 2, but a/2.png is 2 x 2" in line and "task.size=[height,width]" in line

    @pytest.mark.parametrize("name", ["../a/1.png", "a/../../1.png", "/etc/1.png", "C:/a/1.png", "a\\..\\..\\1.png"])
    def test_a_path_that_leads_out_of_the_archive(self, tmp_path: Path, name: str) -> None:
        line = refusal(zip_of(tmp_path / "a.zip", several("a/1.png", "b/1.png") | {name: encoded(GREY)}))
        assert "leads out of the archive" in line and repr(name) in line
        assert [own.name for own in tmp_path.rglob("*")] == ["a.zip"]

    def test_a_link(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(zip_of(tmp_path / "a.zip", several("a/1.png", "b/1.png")), "a") as archive:
            link = zipfile.ZipInfo("b/2.png")
            link.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(link, "/etc/passwd")
        assert "b/2.png is a link; this archive is not used" in refusal(str(tmp_path / "a.zip"))

    def test_what_is_no_image(self, tmp_path: Path) -> None:
        line = refusal(folder_of(tmp_path, several("a/1.png") | {"b/1.png": b"not at all"}))
        assert "b/1.png: it is no JPEG or PNG image" in line

    def test_an_image_cut_short(self, tmp_path: Path) -> None:
        noise = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
        line = refusal(folder_of(tmp_path, {"a/1.png": encoded(noise), "b/1.png": encoded(noise.T)[:900]}))
        assert "b/1.png: it cannot be read: " in line and "truncated" in line

    def test_sixteen_bits(self, tmp_path: Path) -> None:
        deep = encoded(np.array([[0, 65535], [256, 3]], dtype=np.uint16))
        assert "b/1.png: more than 8 bits" in refusal(folder_of(tmp_path, several("a/1.png") | {"b/1.png": deep}))

    def test_a_damaged_archive(self, tmp_path: Path) -> None:
        source = zip_of(tmp_path / "a.zip", several("a/1.png", "b/1.png"))
        content = bytearray(Path(source).read_bytes())
        content[60] ^= 255
        Path(source).write_bytes(content)
        assert "a/1.png: it cannot be read: Bad CRC-32" in refusal(source)

    def test_no_archive(self, tmp_path: Path) -> None:
        (tmp_path / "a.zip").write_bytes(b"abc")
        assert "expected a folder or a zip archive" in refusal(str(tmp_path / "a.zip"))
        assert "No such file" in refusal(str(tmp_path / "b.zip"))

    @pytest.mark.filterwarnings("ignore:Duplicate name")
    def test_a_file_that_is_there_twice(self, tmp_path: Path) -> None:
        source = zip_of(tmp_path / "a.zip", several("a/1.png", "b/1.png"))
        with zipfile.ZipFile(source, "a") as archive:
            archive.writestr("a/1.png", b"")
        assert "a/1.png is in the archive twice" in refusal(source)

    def test_a_bomb(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a/1.png", bytes(65 * 2**20))
        assert "a/1.png has 68157440 bytes unpacked" in refusal(str(tmp_path / "a.zip"))

    def test_a_bomb_of_many_files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Judged by what the archive declares, before anything is unpacked."""
        files = several("a/1.png", "b/1.png")
        source, total = zip_of(tmp_path / "a.zip", files), sum(map(len, files.values()))
        monkeypatch.setattr("notafluke.tasks.images.MAX_ARCHIVE_BYTES", total)
        assert len(read_images(source, None).names) == 2
        monkeypatch.setattr("notafluke.tasks.images.MAX_ARCHIVE_BYTES", total - 1)
        monkeypatch.setattr(zipfile.ZipFile, "read", lambda *a: pytest.fail("it was unpacked"))
        assert f"more than {total - 1} bytes unpacked" in refusal(source)

    def test_more_than_memory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Two images of 6 numbers of 4 bytes."""
        source = folder_of(tmp_path, several("a/1.png", "b/1.png"))
        monkeypatch.setattr("notafluke.tasks.images.MAX_INPUT_BYTES", 48)
        assert len(read_images(source, None).names) == 2
        monkeypatch.setattr("notafluke.tasks.images.MAX_INPUT_BYTES", 47)
        assert "2 images like a/1.png, 3 x 2, need" in refusal(source)

    @pytest.mark.parametrize(
        ("files", "words"),
        [
            ({}, "there is no image in it"),
            ({"README.txt": b""}, "there is no image in it"),
            (several("a/1.png", "a/2.png"), "all images are of one class, 'a'"),
            (several("pets/a/1.png", "pets/a/2.png"), "all images are of one class, 'a'"),
            (several("1.png", "a/1.png"), "1.png lies in 0 folders"),
            (several("a/b/c/1.png", "d/b/c/1.png"), "lies in 3 folders"),
            (several("a/1.png", "train/a/1.png"), "a/1.png lies in one folder, but train/a/1.png in two"),
            (several("train/a/1.png", "tset/a/1.png"), "'tset' is no name of a split; did you mean 'test'?"),
            (several("train/a/1.png", "train/b/1.png", "val/a/1.png"), "no image in a folder 'test'"),
            (several("train/a/1.png", "train/b/1.png", "test/c/1.png"), "'c' is not among those of train: a, b"),
            (several("a/1.png", "b/1.png") | {"b/2.bmp": b""}, "b/2.bmp: only JPEG and PNG images are read"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_how_it_is_not_to_be_ordered(self, tmp_path: Path, files: dict[str, bytes], words: str) -> None:
        (tmp_path / "folder").mkdir()
        assert words in refusal(folder_of(tmp_path / "folder", files))
        assert words in refusal(zip_of(tmp_path / "a.zip", files))

    def test_a_class_without_images(self, tmp_path: Path) -> None:
        source = folder_of(tmp_path / "images", several("a/1.png", "b/1.png"))
        (tmp_path / "images" / "c").mkdir()
        assert "the folder c has no image" in refusal(source)


def test_only_train_is_shared_out() -> None:
    assert places("x", ["train/a/1.png", "train/b/1.png"]) == ([UNDECIDED, UNDECIDED], ["a", "b"], "train")
