import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addressName, networkName } from './address-name.ts'

test('a household of IPv6, an address in any of its spellings and what is no address at all have one name each', () => {
  const names = {
    '203.0.113.7': '203.0.113.7',
    '203.0.113.7:50123': '203.0.113.7',
    '::ffff:203.0.113.7': '203.0.113.7',
    '2001:db8:1:2::1': '2001:db8:1:2::/64',
    '2001:db8:1:2:ffff:ffff:ffff:ffff': '2001:db8:1:2::/64',
    '2001:0DB8:0001:0002:0:0:0:9': '2001:db8:1:2::/64',
    '[2001:db8:1:2::7]:443': '2001:db8:1:2::/64',
    '::1': '0:0:0:0::/64',
    unknown: 'unknown',
    '': 'unknown',
    '203.0.113.7, 203.0.113.8': 'unknown',
    'line\nbreak': 'unknown',
    [`_${'x'.repeat(10_000)}`]: 'unknown',
  }
  for (const [given, name] of Object.entries(names))
    assert.equal(addressName(given), name, given.slice(0, 50))
})

test('an address has a network', () => {
  const networks = {
    '203.0.113.7': '203.0.113.0/24',
    '2001:db8:1:2:3::1': '2001:db8:1::/48',
    unknown: 'unknown',
  }
  for (const [given, network] of Object.entries(networks))
    assert.equal(networkName(addressName(given)), network, given)
})
