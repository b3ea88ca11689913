import assert from 'node:assert/strict'
import { promisify } from 'node:util'
import { describe, it } from 'node:test'
import { isInside, lookupOutside, requireOutsideUrl } from '../../src/security/outside-address.ts'

/** First and last addresses of what nobody may have asked (RFC 6890), and their neighbours outside. */
const INSIDE = [
  '0.0.0.0',
  '10.0.0.1',
  '10.255.255.255',
  '100.64.0.1',
  '100.127.255.255',
  '127.0.0.1',
  '127.255.255.255',
  '169.254.169.254',
  '172.16.0.0',
  '172.31.255.255',
  '192.0.0.1',
  '192.0.2.1',
  '192.88.99.1',
  '192.168.0.1',
  '198.18.0.1',
  '198.19.255.255',
  '198.51.100.1',
  '203.0.113.1',
  '224.0.0.1',
  '240.0.0.1',
  '255.255.255.255',
  '::',
  '::1',
  '::ffff:10.0.0.1',
  '::ffff:7f00:1',
  '64:ff9b::a00:1',
  'fc00::1',
  'fd12::1',
  'fe80::1',
  'ff02::1',
  '2001::1',
  '2001:db8::1',
  '2002:a00:1::',
  'no address',
  '',
]
const OUTSIDE = [
  '1.1.1.1',
  '9.255.255.255',
  '11.0.0.0',
  '100.63.255.255',
  '100.128.0.0',
  '172.15.255.255',
  '172.32.0.0',
  '192.167.255.255',
  '198.17.255.255',
  '198.20.0.0',
  '223.255.255.255',
  '::ffff:1.1.1.1',
  '2606:4700::1111',
  '2003::1',
  '3fff::1',
]

const forbidden = {
  code: 'SLW_FORBIDDEN',
  message: /is an address of this machine or its network; allow such with --allow-private-addresses/,
}
const invalid = { code: 'SLW_INPUT_INVALID' }

describe('addresses that may be asked on behalf of a caller', () => {
  it('are those of nobody around here', () => {
    for (const address of INSIDE) assert.equal(isInside(address), true, address)
    for (const address of OUTSIDE) assert.equal(isInside(address), false, address)
  })

  it('a URL is one of http or https without a password, to none of these, however it is written', () => {
    for (const url of ['https://example.org/x', 'http://1.1.1.1:8080/', 'https://[2606:4700::1111]/', 'https://10.0.0.1.example.org/'])
      assert.equal(requireOutsideUrl(url, false).href, new URL(url).href)
    for (const url of ['ftp://example.org', 'file:///etc/passwd', 'example.org', '', 'gopher://1.1.1.1'])
      assert.throws(() => requireOutsideUrl(url, false), { ...invalid, message: /is no URL that begins with https:\/\/ or http:\/\// }, url)
    for (const url of ['https://me@example.org', 'https://:secret@example.org', 'https://me:secret@example.org'])
      assert.throws(() => requireOutsideUrl(url, true), { ...invalid, message: /has a name or password in it/ }, url)
    for (const url of [
      'http://127.0.0.1/',
      'http://127.1/',
      'http://2130706433/',
      'http://0x7f.0.0.1/',
      'http://[::1]:80/',
      'http://[::ffff:127.0.0.1]/',
      'http://169.254.169.254/latest/meta-data',
      'http://localhost:8480/',
      'http://LOCALHOST/',
      'http://a.localhost/',
    ]) {
      assert.throws(() => requireOutsideUrl(url, false), forbidden, url)
      assert.equal(requireOutsideUrl(url, true).href, new URL(url).href, url)
    }
    assert.throws(() => requireOutsideUrl('http://localhost/', false), { message: /^localhost \(127\.0\.0\.1\) is/ })
    assert.throws(() => requireOutsideUrl('http://10.0.0.1/', false), { message: /^10\.0\.0\.1 is/ })
    // A host that only begins so is another one.
    assert.ok(requireOutsideUrl('http://notlocalhost.example/', false))
  })

  it('a name is looked up when it is connected to, and refused where it means one of these', async () => {
    const look = promisify(lookupOutside) as (name: string, options: object) => Promise<unknown>
    await assert.rejects(look('localhost', {}), { ...forbidden, message: /^localhost \((?:127\.0\.0\.1|::1)\) is an address/ })
    await assert.rejects(look('localhost', { all: true }), forbidden)
    await assert.rejects(look('nobody.invalid', {}), { code: 'ENOTFOUND' })
    // An address needs no server of names.
    assert.equal(await look('1.1.1.1', {}), '1.1.1.1')
    assert.deepEqual(await look('1.1.1.1', { all: true }), [{ address: '1.1.1.1', family: 4 }])
  })
})
