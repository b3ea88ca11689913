import { lookup } from 'node:dns'
import { BlockList, isIP, isIPv6 } from 'node:net'
import { SlipwayError } from '../core/errors.ts'
import type { LookupFunction } from 'node:net'

/** Addresses of this machine, of its network, and reserved ones (IANA special-purpose registries, RFC 6890). */
const INSIDE = new BlockList()
for (const [address, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
] as const)
  INSIDE.addSubnet(address, prefix)
// Outside addresses are those of global unicast, 2000::/3, except those that carry IPv4 addresses or are for documentation.
const GLOBAL = new BlockList()
GLOBAL.addSubnet('2000::', 3, 'ipv6')
for (const [address, prefix] of [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
] as const)
  INSIDE.addSubnet(address, prefix, 'ipv6')

/** Whether an address must not be asked on behalf of a caller: of this machine or network, or reserved. */
export function isInside(address: string): boolean {
  if (!isIPv6(address)) return isIP(address) === 0 || INSIDE.check(address)
  // ::ffff:10.0.0.1 is 10.0.0.1.
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined) return INSIDE.check(mapped)
  return !GLOBAL.check(address, 'ipv6') || INSIDE.check(address, 'ipv6')
}

function refuse(host: string, address: string): SlipwayError {
  const what = host === address ? host : `${host} (${address})`
  return new SlipwayError(
    'SLW_FORBIDDEN',
    `${what} is an address of this machine or its network; allow such with --allow-private-addresses`,
  )
}

/**
 * Checks a URL that a caller wants to have asked.
 * @throws SLW_INPUT_INVALID for another scheme or a password in it; SLW_FORBIDDEN for an address of this machine or network
 */
export function requireOutsideUrl(text: string, allowInside: boolean): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !['http:', 'https:'].includes(url.protocol))
    throw new SlipwayError('SLW_INPUT_INVALID', `${JSON.stringify(text.slice(0, 200))} is no URL that begins with https:// or http://`)
  if (url.username !== '' || url.password !== '') throw new SlipwayError('SLW_INPUT_INVALID', 'the URL has a name or password in it')
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (!allowInside && isIP(host) !== 0 && isInside(host)) throw refuse(host, host)
  if (!allowInside && /(^|\.)localhost$/i.test(host)) throw refuse(host, '127.0.0.1')
  return url
}

/** Looks names up for a connection, and refuses inside addresses: here, as a later look-up may have another answer. */
export const lookupOutside: LookupFunction = (hostname, options, callback) => {
  lookup(hostname, { ...options, all: true }, (error, addresses) => {
    if (error !== null) return callback(error, '', 4)
    const inside = addresses.find(({ address }) => isInside(address))
    if (inside !== undefined) return callback(refuse(hostname, inside.address), '', 4)
    if (options.all === true) return callback(null, addresses)
    const [first] = addresses
    callback(null, first?.address ?? '', first?.family ?? 4)
  })
}
