"""Which authorities there are, and how fast each may be asked."""

from __future__ import annotations

import msgspec
import pytest

from edge.control.authorities import Authorities, staging_of
from edge.control.vault import Vault
from edge.site.pace import BREAK, ORDERS
from edge.site.places import Places
from edge.site.settings import AccountBinding, Acme

NOW = 1_800_000_000.0
PRIMARY = Acme(directory="https://ca.test/dir", fallback=Acme(directory="https://other.test/dir"))


@pytest.fixture
async def authorities(tmp_path):
    """Those of a new node."""
    found = Authorities(Vault(Places(tmp_path)), lambda: NOW)
    found.configure(PRIMARY, tmp_path)
    yield found
    await found.close()


def again(authorities):
    """As the next process sees them."""
    found = Authorities(authorities._vault, authorities._clock)
    found.configure(PRIMARY, authorities._root)
    return found


async def test_a_connection_is_kept_while_the_settings_are(authorities, tmp_path):
    """One a directory; others make new ones."""
    client = authorities.client(PRIMARY)
    authorities.configure(PRIMARY, tmp_path)
    assert authorities.client(PRIMARY) is client
    assert authorities.client(PRIMARY.fallback) is not client

    changed = msgspec.structs.replace(PRIMARY, email="ops@example.com")
    authorities.configure(changed, tmp_path)

    assert authorities.client(changed) is not client
    assert authorities.primary == changed


async def test_files_start_from_the_configurations_folder(authorities, tmp_path):
    """Roots and keys of bindings."""
    acme = Acme(
        directory="https://ca.test/dir",
        ca_file="roots.pem",
        eab=AccountBinding(kid="kid", hmac_key_file="secret/key"),
    )
    authorities.configure(acme, tmp_path)

    client = authorities.client(acme)

    assert client._ca_file == tmp_path / "roots.pem"
    assert client._eab.hmac_key_file == str(tmp_path / "secret" / "key")


async def test_authorities_are_found_by_their_directory(authorities):
    """Those that are configured now."""
    assert authorities.find("https://ca.test/dir") == PRIMARY
    assert authorities.find("https://other.test/dir") == PRIMARY.fallback
    assert authorities.find("https://gone.test/dir") is None
    assert authorities.find("") is None


async def test_orders_are_counted_over_restarts(authorities):
    """Each authority's for itself."""
    for _ in range(ORDERS):
        await authorities.spend(PRIMARY)

    for each in (authorities, again(authorities)):
        assert await each.wait_for(PRIMARY) > NOW
        assert await each.wait_for(PRIMARY.fallback) <= NOW
        assert await each.wait_for(PRIMARY.fallback, ahead=ORDERS) > NOW


async def test_a_stop_holds_over_restarts_and_ends_by_hand(authorities):
    """What an authority said, it said to the node."""
    await authorities.block(PRIMARY, 500.0, "too many")
    assert await again(authorities).wait_for(PRIMARY) == NOW + 500

    await authorities.unblock()

    assert await again(authorities).wait_for(PRIMARY) <= NOW


async def test_an_authority_that_is_down_is_left_alone(authorities):
    """After five failures, if none of its answers was good in between."""
    for _ in range(4):
        await authorities.broke(PRIMARY, "503")
    await authorities.worked(PRIMARY)
    await authorities.worked(PRIMARY)
    assert await authorities.wait_for(PRIMARY) <= NOW

    for _ in range(5):
        await authorities.broke(PRIMARY, "503")

    assert await authorities.wait_for(PRIMARY) == NOW + BREAK


async def test_a_disk_that_takes_nothing_keeps_limits_in_memory(authorities, caplog):
    """They hold until a restart."""
    authorities._vault._places.tls.write_bytes(b"in the way")

    await authorities.block(PRIMARY, 500.0, "too many")

    assert await authorities.wait_for(PRIMARY) == NOW + 500
    assert "cannot be kept" in caplog.text


@pytest.mark.parametrize(
    ("acme", "staging"),
    [
        (Acme(), "https://acme-staging-v02.api.letsencrypt.org/directory"),
        (Acme(directory="https://ca.test/dir"), None),
        (Acme(directory="https://ca.test/dir", staging="https://s.test/dir"), "https://s.test/dir"),
        (Acme(staging=None), None),
        (Acme(staging=Acme().directory), None),
    ],
)
def test_orders_are_rehearsed_at_the_authoritys_own(acme, staging):
    """The default is Let's Encrypt's: nobody else's orders go there."""
    found = staging_of(acme)

    assert (found and found.directory) == staging
    assert found is None or (found.staging, found.fallback) == (None, None)
