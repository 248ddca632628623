"""The page on verdicts has every reason code, and no other."""

import re
from pathlib import Path

from service.contract.verdict import ReasonCode

PAGE = (Path(__file__).parent.parent / "docs" / "verdicts.md").read_text()


def test_the_page_on_verdicts_lists_the_reason_codes_that_there_are() -> None:
    table = PAGE.split("## Labels")[0]

    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.+) \|$", table, re.MULTILINE)

    assert {code.value for code in ReasonCode} == {code for code, _, _ in rows}
    assert len(rows) == len(ReasonCode)
    assert {decision for _, decision, _ in rows} <= {"promote", "hold", "reject", "any"}
