import pytest


@pytest.fixture
def refused(capsys):
    """refused(main, *args): the one line on which a command in this process says why it exits with a code, 2."""

    def message(main, *args, code=2):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main([*map(str, args)])
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1, lines
        assert stopped.value.code == code, lines
        assert code != 2 or lines[0].startswith("error: ")
        return lines[0]

    return message
