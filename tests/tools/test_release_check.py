"""What lets a release through, and what does not."""

import pytest

from tools.release_check import Failed, changes, licences, vulnerabilities


def test_a_version_must_be_among_the_changes() -> None:
    assert changes("# Changes\n\n## [1.2.0] - 2026-12-24\n", "1.2.0") == "1.2.0 of 2026-12-24"
    assert "not dated yet" in changes("## [Unreleased]\n\nTo become 1.2.0, a release.\n", "1.2.0")
    with pytest.raises(Failed):
        changes("## [1.2.0] - 2026-12-24\n", "1.2.1")


def test_a_licence_that_may_not_fit_is_named() -> None:
    known = [{"Name": "numpy", "License": "BSD-3-Clause"}, {"Name": "click", "License": "BSD License"}]
    assert licences(known).startswith("2 packages")
    fitting = (
        "MIT OR GPL-2.0-only",
        "Apache-2.0 AND (MIT OR SSPL-1.0)",
        "ISC License (ISCL)",
        "MIT License; BSD License",
    )
    assert licences([{"Name": "free", "License": licence} for licence in fitting]).startswith("4 packages")
    for licence in (
        "UNKNOWN",
        "Other/Proprietary License",
        "Proprietary; limited use",
        "Commercial, no redistribution permitted",
        "LicenseRef-Miscellaneous",
        "SSPL-1.0 (limited)",
        "NVIDIA Submit",
        "GPL-2.0-only AND MIT",
        "MIT License; Other/Proprietary License",
    ):
        with pytest.raises(Failed, match="secret"):
            licences([*known, {"Name": "secret", "License": licence}])


def test_a_known_vulnerability_is_named_and_what_was_not_looked_up_is_counted() -> None:
    clean = {"name": "click", "version": "8.2", "vulns": []}
    unknown = {"name": "torch", "skip_reason": "not found"}
    assert vulnerabilities({"dependencies": [clean, unknown]}) == "none known in 1 packages; 1 could not be looked up"
    found = {"name": "old", "version": "1.0", "vulns": [{"id": "PYSEC-1"}]}
    with pytest.raises(Failed, match="PYSEC-1"):
        vulnerabilities({"dependencies": [clean, found]})
