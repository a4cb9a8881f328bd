"""`python -m pulso`: the command, where the script `pulso` is not on the path."""

from pulso.cli import main

if __name__ == "__main__":
    main()
