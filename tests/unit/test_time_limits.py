"""Time limits add up: whatever waits for something else waits longer than that may take."""

from outbox import database
from worker import app, shutdown
from worker.kafka import connection, consumer, producer
from worker.pipeline import lane, lane_store, lanes, publication
from worker.resilience import stalled_consumers
from worker.supervise import STEADY_SECONDS
from worker.telemetry import health_server, logs

SIGTERM_SECONDS = 10.0


def test_a_worker_is_gone_within_ten_seconds_of_sigterm() -> None:
    # The stop itself ends in STOP_SECONDS, whatever its steps do (test_shutdown); the log is written out after it.
    assert shutdown.STOP_SECONDS + logs.CLOSE_SECONDS < shutdown.EXIT_SECONDS
    assert shutdown.EXIT_SECONDS + shutdown.LAST_LINE_SECONDS < SIGTERM_SECONDS
    # Nothing is cut short where every step takes the time that it gives itself.
    assert lanes.STOP_SECONDS < app.FINISH_SECONDS < app.END_SECONDS
    assert lanes.STOP_SECONDS + consumer.CLOSE_SECONDS <= app.FINISH_SECONDS
    assert app.END_SECONDS + app.CLOSE_SECONDS + 1.0 <= shutdown.STOP_SECONDS


def test_a_revoked_lane_has_ended_before_the_rebalance_gives_it_away() -> None:
    # What is stuck in closing is closed a second time, by force.
    assert 2 * lane.CLOSE_SECONDS + database.EXPLAIN_SECONDS + database.CLOSE_SECONDS < lanes.CANCEL_SECONDS
    assert lanes.STOP_SECONDS + lanes.CANCEL_SECONDS < consumer.REBALANCE_MS / 1000
    assert consumer.GROUP_REQUEST_MS > consumer.REBALANCE_MS


def test_a_transaction_of_kafka_outlives_whoever_waits_for_it() -> None:
    assert producer.PRODUCE_MS / 1000 < publication.PUBLISH_SECONDS < producer.TRANSACTION_MS / 1000
    assert producer.PRODUCE_MS / 1000 < producer.APPEND_SECONDS


def test_postgres_ends_a_transaction_before_kafka_gives_the_lane_to_another() -> None:
    assert database.TRANSACTION_SECONDS < consumer.SESSION_MS / 1000


def test_one_server_that_never_answers_costs_less_than_the_whole_request_may_take() -> None:
    assert connection.SERVER_SECONDS < producer.START_SECONDS < connection.REQUEST_SECONDS
    assert connection.SERVER_SECONDS < lane_store.OFFSET_SECONDS


def test_readiness_is_looked_at_often_enough_to_notice_an_outage_within_seconds() -> None:
    assert stalled_consumers.CHECK_SECONDS + connection.SERVER_SECONDS + health_server.UPDATE_SECONDS < SIGTERM_SECONDS
    assert stalled_consumers.SILENT_SECONDS > consumer.SESSION_MS / 1000
    assert stalled_consumers.UNANSWERED_SECONDS >= consumer.SESSION_MS / 1000
    assert health_server.UPDATE_SECONDS < health_server.ALIVE_SECONDS / 2


def test_a_task_that_fails_again_after_its_back_off_counts_as_failing_all_the_while() -> None:
    longest_back_off = 5.0
    assert longest_back_off < STEADY_SECONDS
