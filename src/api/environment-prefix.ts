import { DEFAULT_ENVIRONMENT } from '../contract/api-address.ts'
import type { IncomingMessage } from 'node:http'
import type { Environments } from '../ledger/environments.ts'

const ENVIRONMENT = Symbol('environment')
type Prefixed = IncomingMessage & { [ENVIRONMENT]?: string }

/** Takes `/env/NAME` off the front of an address and remembers it. @returns the rest of the address */
export function takeEnvironment(request: IncomingMessage): string {
  const url = request.url ?? '/'
  const match = /^\/env\/([^/?]+)(\/[^]*)?$/.exec(url)
  if (match === null) return url
  ;(request as Prefixed)[ENVIRONMENT] = match[1]!
  return match[2] ?? '/'
}

/** The environment that a request is about. @throws SLW_NOT_FOUND */
export async function environmentOf(request: IncomingMessage, environments: Environments): Promise<string> {
  const named = (request as Prefixed)[ENVIRONMENT]
  return named === undefined ? DEFAULT_ENVIRONMENT : await environments.require(named)
}
