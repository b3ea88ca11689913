import { Type } from 'typebox'
import type { Static } from 'typebox'

const text = (description: string) => Type.Optional(Type.String({ minLength: 1, description }))

/** Settings of access to the server, and of its addresses. */
export const DOOR_SETTINGS = {
  behindProxy: Type.Optional(
    Type.Boolean({ description: 'A proxy in front ends TLS: listening beyond this machine needs keys only. Default: false.' }),
  ),
  apiKeysFile: text('YAML file of API keys; clients then need one. Default: none, and SLIPWAY_API_KEYS.'),
  adminTokenFile: text('File with the token that administration needs. Default: SLIPWAY_ADMIN_TOKEN; with neither administration is off.'),
  tls: Type.Optional(
    Type.Object(
      {
        cert: text('PEM file with the certificate of the server and those between it and its authority. It is followed while it changes.'),
        key: text('PEM file with the private key of the certificate.'),
        clientCa: text('PEM file of authorities: only clients with a certificate of theirs get in. Default: none.'),
      },
      { additionalProperties: false },
    ),
  ),
  cors: Type.Optional(
    Type.String({
      pattern: '^(\\*|[a-z][a-z0-9+.-]*://[^\\s,/]+(\\s*,\\s*[a-z][a-z0-9+.-]*://[^\\s,/]+)*)$',
      description:
        'Origins whose web pages may use the server, such as https://app.example,https://other.example; * means all. Default: none.',
    }),
  ),
  allowedHosts: text('Host names, separated by commas, that a server on loopback answers to beside localhost. Default: none.'),
  socket: text('Path of a Unix socket to listen on too. Default: none.'),
}
const Doors = Type.Object(DOOR_SETTINGS)

/** {@link DOOR_SETTINGS} resolved. */
export interface DoorsConfig {
  readonly behindProxy: boolean
  readonly apiKeysFile: string | undefined
  readonly adminTokenFile: string | undefined
  readonly tls: { readonly cert?: string; readonly key?: string; readonly clientCa?: string }
  /** Undefined: pages of other origins may not read answers. */
  readonly cors: '*' | readonly string[] | undefined
  readonly allowedHosts: readonly string[]
  readonly socket: string | undefined
}

export function resolveDoors(options: Static<typeof Doors>): DoorsConfig {
  return {
    behindProxy: options.behindProxy ?? false,
    apiKeysFile: options.apiKeysFile,
    adminTokenFile: options.adminTokenFile,
    tls: options.tls ?? {},
    cors: options.cors === undefined || options.cors === '*' ? options.cors : listOf(options.cors),
    allowedHosts: listOf(options.allowedHosts ?? ''),
    socket: options.socket,
  }
}

function listOf(value: string): string[] {
  return value
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
}
