import { chmod, mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { Type } from 'typebox'
import { check } from '../../contract/schema.ts'
import { SlipwayError } from '../../core/errors.ts'
import { readKey, requireKey, trust } from '../credentials.ts'
import type { Static } from 'typebox'
import type { CredentialOptions } from '../credentials.ts'

const Context = Type.Object(
  {
    url: Type.String(),
    key: Type.Optional(Type.String()),
    environment: Type.Optional(Type.String()),
    ca: Type.Optional(Type.String({ description: 'File with the authorities (PEM) that are trusted beside those of the machine.' })),
  },
  { additionalProperties: false },
)
export type Context = Static<typeof Context>

const ContextsFile = Type.Object(
  { current: Type.Optional(Type.String()), contexts: Type.Record(Type.String(), Context) },
  { additionalProperties: false },
)
export type ContextsFile = Static<typeof ContextsFile>

/** Default URL: the one that `slipway up` listens on. */
export const DEFAULT_URL = 'http://127.0.0.1:8480'

/** Path of the file with the control planes that a person works with and the keys for them; only its owner can read it. */
export function contextsPath(environment: NodeJS.ProcessEnv = process.env): string {
  const { SLIPWAY_HOME: own, XDG_CONFIG_HOME: shared } = environment
  const folder =
    own !== undefined && own !== '' ? own : join(shared !== undefined && shared !== '' ? shared : join(homedir(), '.config'), 'slipway')
  return join(folder, 'contexts.json')
}

/** @throws SLW_CONFIG_INVALID for a file that is no contexts file */
export async function readContexts(path: string = contextsPath()): Promise<ContextsFile> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (text === undefined) return { contexts: {} }
  try {
    const found = check(ContextsFile, JSON.parse(text))
    if ('value' in found) return found.value
    throw new Error(`${found.issues[0]?.path ?? ''}: ${found.issues[0]?.message ?? ''}`)
  } catch (error) {
    throw new SlipwayError('SLW_CONFIG_INVALID', `${path} cannot be read: ${(error as Error).message}`)
  }
}

export async function writeContexts(file: ContextsFile, path: string = contextsPath()): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const beside = `${path}.${process.pid}`
  await writeFile(beside, `${JSON.stringify(file, undefined, 2)}\n`, { mode: 0o600 })
  await chmod(beside, 0o600)
  await rename(beside, path)
}

export interface ContextOptions extends CredentialOptions {
  readonly url?: string | undefined
  readonly context?: string | undefined
  readonly environment?: string | undefined
}

/** The control plane that is meant: by flag, else environment variable, else context, else the one on this machine. */
export async function chosenContext(flags: ContextOptions, environment: NodeJS.ProcessEnv = process.env): Promise<Context> {
  const file = await readContexts(contextsPath(environment))
  const name = flags.context ?? environment['SLIPWAY_CONTEXT'] ?? (flags.url === undefined ? file.current : undefined)
  const context = name === undefined ? undefined : file.contexts[name]
  if (name !== undefined && context === undefined)
    throw new SlipwayError('SLW_USAGE', `there is no context "${name}"; there are ${Object.keys(file.contexts).join(', ') || 'none'}`)
  const url = flags.url ?? environment['SLIPWAY_URL'] ?? context?.url ?? DEFAULT_URL
  // The key of a context is sent to the address of that context only, and its authorities are trusted there only.
  const there = context !== undefined && context.url === url ? context : undefined
  const ofVariable = environment['SLIPWAY_API_KEY']
  const own = ofVariable === undefined ? there?.key : requireKey(ofVariable, 'SLIPWAY_API_KEY')
  const key = flags.keyFile === undefined ? own : await readKey(flags.keyFile)
  await trust(flags.ca ?? there?.ca)
  const within = flags.environment ?? environment['SLIPWAY_ENVIRONMENT'] ?? context?.environment
  return { url: url.replace(/\/+$/, ''), ...(key !== undefined && { key }), ...(within !== undefined && { environment: within }) }
}
