"""``python -m bench.desk_server``: the desk of the benchmark, at which one is the approver by one click."""

from bench.load import APPROVER
from demo.desk_server import serve
from desk.identity_demo import DemoPerson

if __name__ == "__main__":
    serve([DemoPerson(APPROVER, "approves everything")])
