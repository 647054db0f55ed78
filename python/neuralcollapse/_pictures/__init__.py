"""The pictures that `neuralcollapse.plotting` puts together."""
