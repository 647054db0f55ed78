"""Spark in local-cluster mode: workers that are processes of their own."""

import os
import pathlib
import shutil
import sys

import pytest
import work
from conftest import assert_same, exact

import neuralcollapse as nc

pyspark = pytest.importorskip("pyspark")
pandas = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")
if shutil.which("java") is None:
    pytest.skip("Spark needs Java", allow_module_level=True)


@pytest.fixture(scope="module")
def spark():
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    tests = str(pathlib.Path(__file__).parent)
    session = (
        SparkSession.builder.master("local-cluster[2,1,1024]")
        .config("spark.executor.memory", "700m")
        .config("spark.task.maxFailures", 4)
        .config("spark.executorEnv.PYTHONPATH", tests)
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", 4)
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("OFF")
    yield session
    session.stop()


def frame(spark, partitions):
    features, labels = work.samples()
    table = pandas.DataFrame({"features": list(features), "label": labels})
    return spark.createDataFrame(table, "features array<double>, label long").repartition(partitions)


def test_frames_with_empty_and_skewed_partitions(spark):
    from neuralcollapse import spark as on_spark

    weights, bias = work.head()
    data = frame(spark, 3).repartitionByRange(5, "label")  # one label a partition, and an empty one
    found = on_spark.audit(data, weights, bias, work.predict(), **work.OPTIONS)
    assert_same(exact(found), exact(work.single_machine()), 1e-12)
    assert found.counts.tolist() == [700, 150, 90, 20]


def test_a_worker_that_dies(spark, tmp_path):
    """A task kills its process the first time, in each of the two passes; Spark does it again."""
    from neuralcollapse import spark as on_spark

    weights, bias = work.head()
    folder = str(tmp_path)

    def deadly(batches):
        from pyspark import TaskContext

        import work

        if TaskContext.get().partitionId() == 1:
            work.die_once(folder, "once")
        yield from batches

    data = frame(spark, 4).mapInPandas(deadly, "features array<double>, label long")
    found = on_spark.audit(data, weights, bias, work.predict(), **work.OPTIONS)
    assert (tmp_path / "once").exists()
    assert_same(exact(found), exact(work.single_machine()), 1e-12)


def test_vectors_and_other_names(spark):
    pytest.importorskip("pyspark.ml")
    from pyspark.ml.functions import array_to_vector
    from pyspark.sql import functions

    from neuralcollapse import spark as on_spark

    features, labels = work.samples()
    weights, bias = work.head()
    data = frame(spark, 2).select(array_to_vector(functions.col("features")).alias("h"), functions.col("label").alias("y"))
    found = on_spark.audit(data, weights, bias, features="h", labels="y")
    assert found.nc1 == pytest.approx(nc.audit(features, labels, weights, bias).nc1, rel=1e-12)
