"""``python -m oakpoint``, and ``torchrun … -m oakpoint`` for training in several processes."""

from oakpoint.cli.main import main

if __name__ == "__main__":
    main()
