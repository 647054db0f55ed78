"""Processes of torch.distributed with the gloo backend."""

import json

import pytest
import work
from conftest import assert_same, exact

torch = pytest.importorskip("torch")
if not torch.distributed.is_available():
    pytest.skip("this PyTorch has no torch.distributed", allow_module_level=True)


@pytest.mark.parametrize("world", [2, 3])
def test_every_process_gets_the_whole_audit(world, tmp_path):
    """Shares of different sizes and classes; the third process has no sample at all."""
    context = torch.multiprocessing.get_context("spawn")
    arguments = (world, str(tmp_path / "store"), str(tmp_path))
    processes = [context.Process(target=work.gloo_process, args=(rank, *arguments)) for rank in range(world)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
        assert process.exitcode == 0
    expected = json.loads(json.dumps(exact(work.single_machine())))
    for rank in range(world):
        assert_same(json.loads((tmp_path / f"{rank}.json").read_text()), expected, 1e-12)


def test_one_process_alone():
    from neuralcollapse.torch import audit

    features, labels = work.samples()
    weights, bias = work.head()
    found = audit(lambda: [(features, labels)], weights, bias, work.predict(), **work.OPTIONS)
    assert_same(exact(found), exact(work.single_machine()), 1e-12)
