"""Adaptation jobs: accepted by the service, kept by a durable queue, done by a worker process.

submission   service: a batch becomes a folder, a row and a queue entry, or nothing at all
queue        the only file that knows DBOS
supervisor   service: keeps the worker process alive
worker       worker: one job from claim to publication
runner       worker: the trainer as a command with a time limit
health       anyone: whether jobs get done
settlement   service: a finished job moves an alias, or asks, or nothing
"""
