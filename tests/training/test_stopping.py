"""Signals: the first asks, a second Ctrl-C acts, and afterwards all is as before."""

from __future__ import annotations

import signal
import threading

import pytest

from anychan.training.stopping import listening


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_a_request(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with listening() as request:
        assert not request
        signal.raise_signal(number)
        assert request.signal == number
    assert signal.getsignal(number) == before


def test_who_asks_twice_to_terminate_waits_all_the_same() -> None:
    with listening() as request:
        for _ in range(2):
            signal.raise_signal(signal.SIGTERM)
        assert request.signal == signal.SIGTERM


def test_the_second_ctrl_c_acts_at_once() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs without it
    try:
        with listening() as request:
            signal.raise_signal(signal.SIGINT)
            assert request
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_in_another_thread_nothing_is_touched() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work() -> None:
        with listening() as request:
            seen.append((bool(request), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, before)]
