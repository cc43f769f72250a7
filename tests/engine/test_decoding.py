"""The processes that decode pictures: what is too much ends there, and nobody waits for it."""

import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.errors import DataError, ImageError
from engine.vision.decoding import Decoders
from engine.vision.decoding.limits import MOST_SCANS
from engine.vision.images import open_image, open_texture
from tests.engine.hostile_pictures import encoded, jpeg_of_scans, png_bomb
from tests.waiting import until

HONEST = encoded(Image.new("RGB", (40, 30), (200, 20, 20)), "PNG")


@pytest.fixture
def decoders():
    made = Decoders(most=2, seconds=0.5)
    yield made
    made.close()


@pytest.fixture(scope="module")
def slow() -> bytes:
    """A JPEG that takes seconds, with no more scans than are allowed."""
    return jpeg_of_scans(MOST_SCANS, 6400)


def test_a_jpeg_of_four_hundred_scans_is_refused_by_their_number():
    with pytest.raises(ImageError, match="400 scans"):
        open_image(jpeg_of_scans(400, 640))


def test_a_jpeg_of_an_ordinary_number_of_scans_opens():
    assert open_image(jpeg_of_scans(12, 640)).shape == (640, 640, 4)


def test_what_takes_too_long_is_given_up_and_the_next_picture_opens(decoders, slow):
    with pytest.raises(ImageError, match=r"^slow\.jpg takes more than 0\.5 s to open; .*\.$"):
        decoders.decode(slow, "slow.jpg")
    assert decoders.decode(HONEST, "honest").shape == (30, 40, 3)


def test_nobody_waits_behind_a_slow_picture(slow):
    decoders = Decoders(most=2, seconds=4.0)
    decoders.decode(HONEST, "first")  # so that a process stands ready
    errors = []

    def decode():
        try:
            decoders.decode(slow, "slow.jpg")
        except ImageError as error:
            errors.append(error)

    thread = threading.Thread(target=decode)
    thread.start()
    until(lambda: not decoders.processes(), "the slow picture's begin")
    for _ in range(3):
        assert decoders.decode(HONEST, "honest").shape == (30, 40, 3)
    assert thread.is_alive(), "the slow picture was not slow"
    decoders.close()
    thread.join(timeout=60)
    assert not thread.is_alive()


def test_a_process_that_dies_costs_its_picture_only(decoders):
    decoders.decode(HONEST, "first")
    (process,) = decoders.processes()
    os.kill(process, signal.SIGSTOP)  # it cannot answer before it is ended
    threading.Timer(0.1, os.kill, (process, signal.SIGKILL)).start()
    with pytest.raises(ImageError, match=r"^odd\.png is damaged or needs too much memory; .*\.$"):
        decoders.decode(HONEST, "odd.png")
    until(decoders.processes, "another process, before anybody asks for it")
    assert process not in decoders.processes()
    assert decoders.decode(HONEST, "honest").shape == (30, 40, 3)


def test_idle_processes_end_with_the_pool(decoders):
    decoders.decode(HONEST, "first")
    (process,) = decoders.processes()
    decoders.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads Linux's /proc")
def test_fifty_megapixels_of_sixteen_bits_stay_far_below_the_limit():
    decoders = Decoders(most=1, seconds=60.0)
    pixels = decoders.decode(png_bomb(8000, 6200), "grey")
    assert pixels.shape == (1550, 2000, 1)
    (process,) = decoders.processes()
    status = Path(f"/proc/{process}/status").read_text()
    peak_kb = int(status.split("VmHWM:")[1].split()[0])
    decoders.close()
    assert peak_kb < 1_000_000


def test_pillow_opens_nothing_in_this_process(monkeypatch, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(HONEST)
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("opened here"))
    assert open_image(path).shape == (30, 40, 4)


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_ordinary_file_is_refused_at_once(tmp_path, kind):
    path = tmp_path / "picture.png"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    words = "found a folder" if kind == "folder" else "not an ordinary file"
    with pytest.raises(ImageError, match=rf"^picture\.png: {words}"):
        open_image(path)


def test_a_texture_may_be_of_one_pixel():
    data = encoded(Image.new("RGBA", (1, 2), (10, 20, 30, 128)), "PNG")
    np.testing.assert_array_equal(open_texture(data, "a.png"), [[[10, 20, 30, 128]]] * 2)


def test_a_data_set_picture_of_a_huge_size_is_refused_by_its_header(tmp_path):
    from engine.data.srn import read_picture

    path = tmp_path / "000000.png"
    path.write_bytes(png_bomb(16, 16)[:16] + b"\x00\x01\x00\x00\x00\x01\x00\x00" + bytes(64))
    with pytest.raises(DataError, match=r"000000\.png is 65536 x 65536 pixels; .*\.$"):
        read_picture(path)


def test_nothing_in_the_folder_where_it_is_started_is_run(tmp_path, monkeypatch):
    for name in ("numpy.py", "json.py", "engine/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nraise SystemExit(1)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    made = Decoders(most=1, seconds=20.0)
    try:
        assert made.decode(HONEST, "honest").shape == (30, 40, 3)
    finally:
        made.close()
    assert not (tmp_path / "ran").exists()
