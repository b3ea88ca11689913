/**
 * Security holds the access checks that need no database: keys in files, certificates, secrets by reference, checks of addresses and
 * signatures. This file has the keys of a server.
 */
import { hash } from 'node:crypto'
import { Type } from 'typebox'
import { formatFileIssues, readYaml } from '../contract/read-yaml.ts'
import { oneOf } from '../contract/schema.ts'
import { SlipwayError } from '../core/errors.ts'
import { readSecretFile } from './secret-file.ts'
import type { Static } from 'typebox'
import type { Logger } from '../core/log.ts'

/** The variable that holds keys as `name=key,name2=key2`, each for everything. */
export const API_KEYS_VARIABLE = 'SLIPWAY_API_KEYS'

const SCOPES = ['predict', 'metrics', 'feedback', 'test'] as const
/** Scope of a key: predictions and the routes that belong to them, `/metrics`, `/feedback`, or with `predict` the choice of a variant. */
export type KeyScope = (typeof SCOPES)[number]

/** Advised length of keys: shorter ones can be guessed, and are warned of, not refused. */
const KEY_CHARACTERS_ADVISED = 16

/** Printable ASCII without spaces, which fits a header as it is. A comma would end an entry of the variable. */
const KEY_PATTERN = '^[\\x21-\\x7e]+$'

const KeyEntry = Type.Object(
  {
    name: Type.String({ minLength: 1, description: 'Whose key it is; stands in the log.' }),
    key: Type.Optional(Type.String({ pattern: KEY_PATTERN, description: 'The key itself: printable ASCII without spaces.' })),
    sha256: Type.Optional(Type.String({ pattern: '^[0-9a-fA-F]{64}$', description: 'Or its SHA-256 in hexadecimal.' })),
    scopes: Type.Optional(Type.Array(oneOf(SCOPES), { minItems: 1, description: 'What it opens. Default: predict.' })),
    models: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), { minItems: 1, description: 'The only models it opens. Default: all.' }),
    ),
  },
  { additionalProperties: false },
)
const KeysDocument = Type.Object(
  { keys: Type.Array(KeyEntry, { minItems: 1, description: 'At least one: an empty list would let nobody in.' }) },
  { additionalProperties: false },
)
type KeyEntry = Static<typeof KeyEntry>

/** The owner of the key of a request, and the scopes and models that it opens. */
export interface KeyHolder {
  readonly name: string
  readonly scopes: ReadonlySet<KeyScope>
  /** Undefined: every model. */
  readonly models: ReadonlySet<string> | undefined
}

export interface ApiKeysSource {
  readonly file: string | undefined
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly log: Logger
}

/**
 * The keys that clients of the server send. Only digests are kept: a key is looked up by its SHA-256, so the time of a look-up
 * reveals nothing about the keys, and a memory dump does not contain them.
 */
export class ApiKeys {
  readonly #source: ApiKeysSource
  #byDigest: ReadonlyMap<string, KeyHolder>

  private constructor(source: ApiKeysSource, byDigest: ReadonlyMap<string, KeyHolder>) {
    this.#source = source
    this.#byDigest = byDigest
  }

  /** @returns undefined where neither the file nor the variable is given. @throws SLW_CONFIG_INVALID, which never contains a key */
  static async open(source: ApiKeysSource): Promise<ApiKeys | undefined> {
    if (source.file === undefined && (source.environment[API_KEYS_VARIABLE] ?? '') === '') return undefined
    return new ApiKeys(source, await readKeys(source))
  }

  /** Costs one hash. */
  caller(key: string): KeyHolder | undefined {
    return this.#byDigest.get(digestOf(key))
  }

  get names(): string[] {
    return [...this.#byDigest.values()].map((caller) => caller.name)
  }

  /** Reads the file again. @throws SLW_CONFIG_INVALID; the keys before stay then */
  async reload(): Promise<void> {
    this.#byDigest = await readKeys(this.#source)
  }
}

function digestOf(key: string): string {
  return hash('sha256', key, 'hex')
}

async function readKeys({ file, environment, log }: ApiKeysSource): Promise<ReadonlyMap<string, KeyHolder>> {
  const entries: { readonly origin: string; readonly entry: KeyEntry }[] = []
  for (const entry of ofVariable(environment[API_KEYS_VARIABLE] ?? '')) entries.push({ origin: `environment ${API_KEYS_VARIABLE}`, entry })
  if (file !== undefined)
    for (const entry of ofFile(file, await readSecretFile('apiKeysFile', file, log))) entries.push({ origin: file, entry })
  const byDigest = new Map<string, KeyHolder>()
  const names = new Set<string>()
  for (const { origin, entry } of entries) {
    const { name, key, sha256, scopes = ['predict'], models } = entry
    if ((key === undefined) === (sha256 === undefined)) throw invalid(origin, `the key "${name}" needs either key or sha256`)
    if (names.has(name)) throw invalid(origin, `two keys are named "${name}"`)
    names.add(name)
    const digest = sha256?.toLowerCase() ?? digestOf(key ?? '')
    const other = byDigest.get(digest)
    if (other !== undefined) throw invalid(origin, `"${other.name}" and "${name}" are the same key`)
    if (key !== undefined && key.length < KEY_CHARACTERS_ADVISED)
      log.warn({ key: name }, `the API key "${name}" is short and may be guessed; \`openssl rand -hex 24\` makes a good one`)
    byDigest.set(digest, { name, scopes: new Set(scopes), models: models === undefined ? undefined : new Set(models) })
  }
  return byDigest
}

function ofVariable(text: string): KeyEntry[] {
  if (text === '') return []
  return text.split(',').map((item, index) => {
    const at = item.indexOf('=')
    const name = item.slice(0, Math.max(0, at)).trim()
    const key = item.slice(at + 1).trim()
    if (name === '' || !new RegExp(KEY_PATTERN).test(key))
      throw invalid(`environment ${API_KEYS_VARIABLE}`, `entry ${index + 1} is not name=key, with a key of printable characters`)
    return { name, key, scopes: [...SCOPES] }
  })
}

function ofFile(path: string, text: string): readonly KeyEntry[] {
  const read = readYaml(text, KeysDocument)
  if ('value' in read) return read.value.keys
  // Messages of the YAML reader itself may quote the text, and with it a key.
  const issues = read.issues.map((issue) =>
    issue.path === '' ? { ...issue, message: 'expected YAML of the form keys: [{ name, key }]' } : issue,
  )
  throw new SlipwayError('SLW_CONFIG_INVALID', formatFileIssues(path, issues), { issues })
}

function invalid(origin: string, message: string): SlipwayError {
  return new SlipwayError('SLW_CONFIG_INVALID', `${origin}: ${message}`)
}
