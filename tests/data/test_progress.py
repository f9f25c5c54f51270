import io

from data.progress import Progress, tracked


def test_at_most_one_line_every_two_seconds_with_rate_and_eta():
    now = [0.0]
    stream = io.StringIO()
    progress = Progress("embedding", 100, "rows", stream=stream, clock=lambda: now[0])
    for _ in range(50):
        now[0] += 0.1
        progress.update()
    now[0] += 5
    progress.update(50)
    progress.close()
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("embedding  20/100 rows  10 rows/s  ETA 8 s")
    assert len(lines) == 4
    assert lines[-1].startswith("embedding  100/100 rows")


def test_unknown_total_has_no_eta(capsys):
    assert list(tracked([1, 2], "sourcing x", None)) == [1, 2]
    assert "ETA" not in capsys.readouterr().out
