"""Where the `tollgate` command begins."""

import gc


def main() -> None:
    """Load the command line and run it.

    Nothing that is loaded becomes garbage, and to look for some would take a quarter of the time.
    """
    gc.disable()
    from proxy.cli.main import main as run  # noqa: PLC0415 - what takes the time

    gc.freeze()
    gc.enable()
    run()


if __name__ == "__main__":
    main()
