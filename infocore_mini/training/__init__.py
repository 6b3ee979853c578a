"""What a training run is made of: minibatches, candidates, the loop, its checkpoints and its processes."""
