"""What is told of a benchmark's result: files, tables, a page, a comparison, a history.

All of it is made from a `sgn_rt.benchmarks.result.Result` alone.
"""
