import { text } from 'node:stream/consumers'
import { SlipwayError } from '../../core/errors.ts'
import { formatBytes } from '../../core/units.ts'
import { note } from '../output.ts'
import { openRegistry } from '../../images/registry/registry.ts'
import type { Command } from 'commander'
import type { Descriptor } from '../../images/oci.ts'
import type { Reference } from '../../images/registry/reference.ts'
import type { Registry, RegistryOptions } from '../../images/registry/registry.ts'
import type { Credentials } from '../../images/registry/credentials.ts'

/** Options of every command that asks a registry of images. */
export interface ImageRegistryOptions {
  readonly username?: string
  readonly passwordStdin?: boolean
  readonly plainHttp?: boolean
  readonly chunkSize?: string
}

const CHUNK_BYTES_MIN = 1024 * 1024
const CHUNK_BYTES_MAX = 512 * 1024 * 1024

/** Adds the options of every command that asks a registry of images. @param sends whether it also writes there */
export function asksImages(command: Command, { sends = false }: { readonly sends?: boolean } = {}): Command {
  command
    .option('--username <name>', 'at the registry; or SLIPWAY_REGISTRY_USER. Default: as docker login, podman login or AWS know it')
    .option('--password-stdin', 'read the password from standard input; or SLIPWAY_REGISTRY_PASSWORD')
    .option('--plain-http', 'HTTP without TLS; only to this machine it is the default')
  if (sends)
    command.option('--chunk-size <size>', 'send blobs in parts, such as 32MiB, each kept in memory. Default: a blob is one request')
  return command
}

/** Opens the repository of an image, with the credentials that the options name. */
export async function openNamed(name: string | Reference, options: ImageRegistryOptions, more: RegistryOptions = {}): Promise<Registry> {
  return openRegistry(name, { ...(await namedOptions(options)), ...more })
}

/** What the options say of the one registry that they are for. Reads standard input where the password is there: once. */
export async function namedOptions(options: ImageRegistryOptions): Promise<RegistryOptions> {
  return {
    credentials: await namedCredentials(options),
    plainHttp: options.plainHttp === true,
    chunkBytes: options.chunkSize === undefined ? undefined : chunkBytes(options.chunkSize),
  }
}

/** @throws SLW_USAGE where half of them is given */
async function namedCredentials({ username, passwordStdin }: ImageRegistryOptions): Promise<Credentials | undefined> {
  const { SLIPWAY_REGISTRY_USER: user, SLIPWAY_REGISTRY_PASSWORD: known } = process.env
  const name = username ?? user
  const password = passwordStdin === true ? (await text(process.stdin)).replace(/\r?\n$/, '') : known
  if (name === undefined && password === undefined) return undefined
  if (name === undefined || name === '' || password === undefined || password === '')
    throw new SlipwayError(
      'SLW_USAGE',
      'a registry wants a name and a password: give both, as --username and --password-stdin or SLIPWAY_REGISTRY_USER and SLIPWAY_REGISTRY_PASSWORD',
    )
  return { username: name, password }
}

function chunkBytes(size: string): number {
  const [, count, unit = ''] = /^([0-9]+)(|[KM]iB|[KM]B)$/.exec(size) ?? []
  const bytes = Number(count) * ({ '': 1, KB: 1e3, MB: 1e6, KiB: 1024, MiB: 1024 ** 2 }[unit] ?? Number.NaN)
  if (bytes >= CHUNK_BYTES_MIN && bytes <= CHUNK_BYTES_MAX) return bytes
  throw new SlipwayError('SLW_USAGE', `--chunk-size ${size}: expected a size from 1MiB to 512MiB`)
}

/** Says of every blob once that it is there. */
export function progressNotes(done: 'sent' | 'fetched'): (descriptor: Descriptor, bytes: number) => void {
  const said = new Set<string>()
  return ({ digest, size }, bytes) => {
    if (bytes < size || said.has(digest)) return
    said.add(digest)
    note(`  ${done} ${digest.slice(0, 19)} (${formatBytes(size)})`)
  }
}
