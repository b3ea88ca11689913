import { Type } from 'typebox'
import { SlipwayError } from '../core/errors.ts'
import { cacheFolder } from '../core/cache-folder.ts'
import { STORE_MB } from '../following/local-store.ts'
import type { Static } from 'typebox'

/** The control plane that a server follows. */
export const ControlPlaneOptions = Type.Object(
  {
    url: Type.Optional(
      Type.String({
        minLength: 1,
        description: 'Control plane whose endpoints are served, instead of files. Default: none, files are served.',
      }),
    ),
    endpoints: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), { description: 'Endpoints to serve. Default: all of the environment.' }),
    ),
    environment: Type.Optional(Type.String({ minLength: 1, description: 'Environment of the control plane. Default: its first.' })),
    joinToken: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          'Where the token lies by which the server gets a key of its own: env:NAME, file:PATH, vault:MOUNT/PATH#FIELD or aws-sm:NAME#FIELD. Default: env:SLIPWAY_JOIN_TOKEN, if that is set.',
      }),
    ),
    apiKey: Type.Optional(
      Type.String({
        minLength: 1,
        description: 'Where an API key lies that is used instead of a join token, as `joinToken`. Default: none.',
      }),
    ),
    ca: Type.Optional(
      Type.String({
        minLength: 1,
        description: 'File with certificates of authorities (PEM) to believe beside the usual ones. Default: none.',
      }),
    ),
    store: Type.Optional(
      Type.String({ minLength: 1, description: 'Folder for versions and for what waits to be told. Default: ~/.cache/slipway/store.' }),
    ),
    storeMb: Type.Optional(
      Type.Integer({
        minimum: 1,
        description: 'What versions on this machine may take together; those used least lately give way. Default: 20480.',
      }),
    ),
    recordsKey: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          'Where the key lies by which records have digests of marked values, as `joinToken`: servers with the same key have equal digests. Default: a key of this store.',
      }),
    ),
    serverName: Type.Optional(
      Type.String({ minLength: 1, maxLength: 200, description: 'By which this server is known. Default: host name and port.' }),
    ),
  },
  { additionalProperties: false },
)

/** The variable that holds the join token itself, as containers are given secrets. */
export const JOIN_TOKEN_VARIABLE = 'SLIPWAY_JOIN_TOKEN'

/** {@link ControlPlaneOptions} with every default in place. */
export interface ControlPlaneConfig {
  readonly url: string
  readonly endpoints: readonly string[] | 'all'
  readonly environment: string | undefined
  /** References to the two secrets, not their values. */
  readonly joinToken: string | undefined
  readonly apiKey: string | undefined
  readonly ca: string | undefined
  readonly store: string
  readonly storeMb: number
  readonly recordsKey: string | undefined
  readonly serverName: string | undefined
}

/** @returns undefined where files are served. @throws SLW_CONFIG_INVALID for settings that say nothing without a URL */
export function resolveControlPlane(options: Static<typeof ControlPlaneOptions> | undefined): ControlPlaneConfig | undefined {
  if (options === undefined || Object.keys(options).length === 0) return undefined
  const { url, endpoints, environment, joinToken, apiKey, ca, store, storeMb, recordsKey, serverName } = options
  if (url === undefined)
    throw new SlipwayError(
      'SLW_CONFIG_INVALID',
      `controlPlane.${Object.keys(options)[0] ?? ''} says nothing without a control plane: add --control-plane URL`,
    )
  const all = endpoints === undefined || endpoints.length === 0 || endpoints.includes('*')
  return {
    url: url.replace(/\/+$/, ''),
    endpoints: all ? 'all' : [...new Set(endpoints)],
    environment,
    joinToken,
    apiKey,
    ca,
    store: store ?? cacheFolder('store'),
    storeMb: storeMb ?? STORE_MB,
    recordsKey,
    serverName,
  }
}
