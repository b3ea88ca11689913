import { BlockList, isIPv4, isIPv6 } from 'node:net'
import { SlipwayError } from '../core/errors.ts'

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8)
LOOPBACK.addAddress('::1', 'ipv6')

/** Whether only this machine reaches a host: `localhost`, 127.0.0.0/8, ::1. */
export function isLoopback(host: string): boolean {
  if (isIPv4(host)) return LOOPBACK.check(host)
  if (isIPv6(host)) return LOOPBACK.check(host, 'ipv6')
  return host.toLowerCase() === 'localhost'
}

/**
 * Keeps web pages out of a server on loopback. A page of evil.example can have its name resolve to 127.0.0.1 ("DNS
 * rebinding"): the browser then takes this server for the page's own and lets it read the answers. The Host header still
 * carries the name, so only names that mean this machine pass.
 */
export class HostCheck {
  readonly #allowed: ReadonlySet<string>
  /** The header that passed last: clients send the same one again and again. */
  #passed: string | undefined

  /** @param allowed names beside those of this machine, without ports */
  constructor(allowed: readonly string[]) {
    this.#allowed = new Set(allowed.map((name) => name.toLowerCase()))
  }

  /** @param header undefined with HTTP/1.0, which browsers do not speak. @throws SLW_HOST_NOT_ALLOWED */
  require(header: string | undefined): void {
    if (header === this.#passed || header === undefined) return
    const name = nameOf(header)
    if (!isLoopback(name) && !name.endsWith('.localhost') && !this.#allowed.has(name))
      throw new SlipwayError(
        'SLW_HOST_NOT_ALLOWED',
        `this server listens on loopback and does not answer to the host "${name}"; allow it with --allowed-hosts ${name} (allowedHosts)`,
      )
    this.#passed = header
  }
}

/** The name in `Name.example:80` or `[::1]:80`, without port, brackets and a dot at the end, in lower case. */
function nameOf(header: string): string {
  const match = /^(?:\[([^\]]*)\]|([^:]*))(?::\d*)?$/.exec(header.trim())
  return (match?.[1] ?? match?.[2] ?? header).toLowerCase().replace(/\.$/, '')
}
