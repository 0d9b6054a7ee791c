"""The stack that the files of this folder share, and the admin signed in there.

A test that uses it names what is its own: sources, hosts, titles, ids. It counts nothing that others make as well, and
neither ends nor configures a part; a file that must has a `stack` of its own, which hides this one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from cli import session
from cli.session import Session
from tests.stack import Stack, data_folder, running_stack

#: Everybody is `admin` from one address: no test shall wait for what another has used up.
_SETTINGS = {"AURORA_REQUESTS_PER_MINUTE": "100000", "AURORA_LOGIN_ATTEMPTS_PER_MINUTE": "1000"}


@pytest.fixture(scope="package")
def stack() -> Iterator[Stack]:
    """One stack for each worker, from the first test that asks to the last of this folder."""
    with data_folder() as folder, running_stack(folder, **_SETTINGS) as running:
        yield running


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def api(stack: Stack) -> AsyncIterator[Session]:
    """The admin, signed in."""
    async with session.opened(session.find(stack.data_dir, None)) as opened:
        yield opened
