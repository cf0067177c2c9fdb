"""What one run passes on to those who look on, beside what it keeps."""

from types import SimpleNamespace

from loadtest.conduct import Conduct


class Told:
    """A generator whose processes say these events once they are told to finish."""

    def __init__(self, *events):
        self.commands, self._events = [], events

    def tell(self, **command):
        self.commands.append(command)

    def wait_for(self, name, within_s):
        assert name == self._events[-1]["event"]
        yield from self._events


def test_second_that_closes_while_the_drain_ends_is_passed_on_too(tmp_path):
    window = {"event": "window", "place": 0, "role": "publish", "second": 1, "answer": [[7], [23]]}
    rest = {"event": "rest", "place": 0, "role": "publish", "answer": [[], []]}
    news = []
    topology = SimpleNamespace(workload=SimpleNamespace(duration=2.0))
    cast = SimpleNamespace(sessions=24)
    conduct = Conduct(topology, None, (), cast, None, tmp_path, news.append)
    told = Told(window, rest, {"event": "done", "place": 0})
    conduct.take_over(told)
    assert told.commands == [{"finish": True}]
    assert [each for one in news for each in one["windows"]] == [window, rest]
    assert [each["second"] for each in conduct.windows[0]] == [1]
