import assert from 'node:assert/strict'
import { BlockList } from 'node:net'
import { test } from 'node:test'
import fc from 'fast-check'
import { isInBlock, readAddress, readBlock } from './addresses.ts'

function contains(block: string, address: string): boolean {
  const [read, found] = [readBlock(block), readAddress(address)]
  return read !== undefined && found !== undefined && isInBlock(found, read)
}

test('a block holds the addresses that share its first bits, whatever stands behind them', () => {
  assert.equal(contains('10.0.0.0/8', '10.255.0.1'), true)
  assert.equal(contains('10.1.2.3/8', '10.0.0.1'), true)
  assert.equal(contains('10.0.0.0/8', '11.0.0.0'), false)
  assert.equal(contains('192.168.0.0/23', '192.168.1.255'), true)
  assert.equal(contains('192.168.0.0/23', '192.168.2.0'), false)
  assert.equal(contains('0.0.0.0/0', '255.255.255.255'), true)
  assert.equal(contains('1.2.3.4/32', '1.2.3.4'), true)
  assert.equal(contains('1.2.3.4/32', '1.2.3.5'), false)
  assert.equal(contains('2001:db8::/33', '2001:db8:7fff::1'), true)
  assert.equal(contains('2001:db8::/33', '2001:db8:8000::1'), false)
  assert.equal(contains('::1/128', '0:0:0:0:0:0:0:1'), true)
})

test('an IPv4 address inside IPv6 is the IPv4 address, and no block holds both versions', () => {
  assert.equal(contains('10.0.0.0/8', '::ffff:10.1.2.3'), true)
  assert.equal(contains('10.0.0.0/8', '::ffff:a01:203'), true)
  assert.equal(contains('::ffff:10.0.0.0/104', '10.1.2.3'), true)
  assert.equal(contains('::/0', '10.1.2.3'), false)
  assert.equal(contains('::/0', '::ffff:10.1.2.3'), false)
  assert.equal(contains('0.0.0.0/0', '::1'), false)
})

test('what is no address and no block is none', () => {
  for (const text of [
    '',
    '10.0.0',
    '10.0.0.256',
    '010.0.0.1',
    ' 10.0.0.1',
    '10.0.0.1:80',
    'fe80::1%eth0',
    ':::',
    '1::2::3',
    'x',
    '0'.repeat(70_000),
  ])
    assert.equal(readAddress(text), undefined, text.slice(0, 40))
  for (const text of [
    '10.0.0.0',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    '::/129',
    '::/',
    '/8',
    '10.0.0.0/ 8',
    'fe80::%eth0/10',
    `${'0'.repeat(70_000)}/8`,
  ])
    assert.equal(readBlock(text), undefined, text.slice(0, 40))
})

test("it holds what Node's own list of blocks holds", () => {
  // Few bits differ, so that every second address lies near the edge of its block.
  const near = (bytes: number) =>
    fc.array(fc.constantFrom(0, 1, 127, 128, 255), { minLength: bytes, maxLength: bytes })
  const v4 = near(4).map((bytes) => bytes.join('.'))
  const v6 = near(16).map((bytes) =>
    Array.from({ length: 8 }, (_, i) =>
      (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16),
    ).join(':'),
  )
  fc.assert(
    fc.property(
      fc.oneof(
        fc.tuple(fc.constant('ipv4' as const), v4, fc.oneof(v4), fc.nat(32)),
        fc.tuple(fc.constant('ipv6' as const), v6, v6, fc.nat(128)),
      ),
      ([version, network, address, bits]) => {
        const oracle = new BlockList()
        oracle.addSubnet(network, bits, version)
        for (const each of [address, network])
          assert.equal(
            contains(`${network}/${bits}`, each),
            oracle.check(each, version),
            `${network}/${bits} ${each}`,
          )
      },
    ),
    { numRuns: 5_000 },
  )
})
