"""The benchmarks of the Eagle 2 paper: cards, their public data as questions, averages, and the judge."""
