"""What a GPU has to show: equality with a CPU, repeats, time of a step, a study and retrieval (``python -m benchmarks.gpu``)."""
