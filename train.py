"""The Hydra door: `python train.py model.cell=gru`, and `-m` to sweep."""

from flatspot.cli.train import main

if __name__ == "__main__":
    main()
