"""The tool chain: what `make` runs. Standard library only, but for `stack.py` (runs in .venv) and `lock.py` (pip-tools)."""
