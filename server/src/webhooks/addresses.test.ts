import assert from 'node:assert/strict'
import { test } from 'node:test'
import { faultOfUrl, isPublicAddress } from './addresses.ts'

test('addresses of the public internet are told from all others, in every way to write them', () => {
  for (const address of ['1.1.1.1', '8.8.8.8', '172.15.255.255', '172.32.0.1', '2606:4700:4700::1111'])
    assert.equal(isPublicAddress(address), true, address)
  const refused = [
    ...['127.0.0.1', '127.255.255.254', '0.0.0.0', '10.1.2.3', '172.16.0.1', '172.31.255.255', '192.168.1.1'],
    ...['169.254.169.254', '100.64.0.1', '100.100.100.200', '192.0.0.192', '198.18.0.1', '224.0.0.1'],
    ...['255.255.255.255', '::', '::1', '::ffff:127.0.0.1', '::ffff:8.8.8.8', '::ffff:a9fe:a9fe', '::7f00:1'],
    ...['fe80::1', 'fc00::1', 'fd00:ec2::254', 'ff02::1', '64:ff9b::7f00:1', '64:ff9b:1::1', '2002:7f00:1::'],
    ...['2001::1', '2001:db8::1', '3fff::1', '100::1', 'localhost', '', 'fe80::1%eth0'],
  ]
  for (const address of refused) assert.equal(isPublicAddress(address), false, address)
})

test('a URL of a private place is refused when it is given, and the refusal names the way out', () => {
  const refused = [
    ...[
      'https://127.0.0.1/',
      'https://127.1/',
      'https://2130706433/',
      'https://0x7f.0.0.1/',
      'https://0177.0.0.1/',
    ],
    ...['https://localhost:8000/', 'https://a.localhost/', 'https://localhost./', 'https://[::1]/'],
    ...[
      'https://[::ffff:10.0.0.1]/',
      'https://169.254.169.254/latest/meta-data/',
      'https://[fd00:ec2::254]/',
    ],
    ...['https://127。0。0。1/', 'http://hooks.example.com/'],
  ]
  for (const url of refused) {
    assert.match(faultOfUrl(url, false) ?? '', /WEBHOOK_ALLOW_PRIVATE=true/, url)
    assert.equal(faultOfUrl(url, true), undefined, url)
  }
})

test('a URL that is none, has another scheme, a user or a fragment is refused always', () => {
  const faults = {
    'hooks.example.com': /absolute/,
    'ftp://hooks.example.com/': /https/,
    'file:///etc/passwd': /https/,
    'https://user:secret@hooks.example.com/': /user/,
    'https://hooks.example.com/#here': /fragment/,
  }
  for (const [url, fault] of Object.entries(faults))
    for (const allow of [true, false]) assert.match(faultOfUrl(url, allow) ?? '', fault, url)
  assert.equal(faultOfUrl('https://hooks.example.com:8443/a?b=c', false), undefined)
})
