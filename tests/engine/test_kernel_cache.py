"""Compiled kernels do not outlive the sources that were compiled into them."""

from engine.ops.kernel_cache import drop_stale


def test_compiled_kernels_go_when_a_source_changes_and_stay_otherwise(tmp_path):
    ops = tmp_path / "ops"
    (ops / "__pycache__").mkdir(parents=True)
    helper, other = ops / "lanes.py", ops / "march.py"
    kernel, kept = ops / "__pycache__" / "trace.1.nbc", ops / "__pycache__" / "trace.pyc"
    helper.write_text("a = 1")
    other.write_text("b = 1")
    assert drop_stale(tmp_path)
    for path in (kernel, kept):
        path.write_bytes(b"x")
    assert not drop_stale(tmp_path)
    other.write_text("b = 2")
    assert not drop_stale(tmp_path)
    assert kernel.exists()
    helper.write_text("a = 2")
    assert drop_stale(tmp_path)
    assert not kernel.exists()
    assert kept.exists()
    assert not drop_stale(tmp_path)
