"""From experiences to weights: target sentences, teacher targets, KL, LoRA, fold, gate and delta files.

Knows models and the log's records. Refuses to know environments, HTTP, serving and Ray: an update is a plain function
of a model and a batch, and can be run, tested and debugged in one process.
"""
