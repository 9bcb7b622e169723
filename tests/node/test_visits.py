"""What is noted of a request."""

from edge.node.visits import Call, Visit


def test_a_visit_is_a_span_and_its_call_another():
    """So many are counted where they are lost."""
    visit = Visit(b"1" * 32, b"2" * 16)
    assert visit.count == 1
    visit.call = Call(b"3" * 16, 1.0)

    assert visit.count == 2
