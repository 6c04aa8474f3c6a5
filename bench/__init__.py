"""The figures of `bench/README.md`, measured: `make bench`."""
